-- Walks through the list of all offers at Stripe, whatever their status. At most one walk per mode
-- is unfinished; the next run of reconciliation continues it.
create table offer_listings (
    listing_id bigint generated always as identity primary key,
    -- The mode of the API key, which cannot list offers of the other one; null if the key does not
    -- tell.
    livemode boolean,
    started_at timestamptz not null,
    -- The last offer of the last page that was applied; null at the start.
    after_offer_id text,
    offers_seen bigint not null default 0,
    -- Of them, offers that were unknown.
    offers_new bigint not null default 0,
    ended_at timestamptz
);

create unique index offer_listings_unfinished on offer_listings (livemode) nulls not distinct
    where ended_at is null;
