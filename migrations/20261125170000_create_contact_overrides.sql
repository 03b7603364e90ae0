-- The address that the platform says an account's letters are to go to, before all that Stripe knows.

create table contact_overrides (
    account_id text primary key,
    address text not null,
    -- When it was said last: personal data go by this.
    named_at timestamptz not null,
    -- The key that said so.
    named_by text not null,
    constraint contact_overrides_address check (address like '%_@_%' and length(address) <= 254)
);

create index contact_overrides_named on contact_overrides (named_at);
