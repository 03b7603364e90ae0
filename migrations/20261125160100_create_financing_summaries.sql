-- What Stripe's summary of an account said last, and whether our own sums agree with it.

create table financing_summaries (
    account_id text primary key,
    -- The whole object as Stripe sent it.
    object json not null,
    -- When it was asked for. A line of the account's timeline that is younger makes it old.
    as_of timestamptz not null,
    -- Since when our sums have been others than Stripe's; null while they agree.
    differs_since timestamptz
);

create index financing_summaries_differing on financing_summaries (differs_since) where differs_since is not null;
