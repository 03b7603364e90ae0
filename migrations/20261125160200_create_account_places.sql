-- Where an account is at home: whose midnight its days end at. Kept for when Stripe cannot be asked.

create table account_places (
    account_id text primary key,
    -- Two letters; null where Stripe does not say.
    country text,
    -- A name of the IANA database.
    time_zone text not null,
    learned_at timestamptz not null
);
