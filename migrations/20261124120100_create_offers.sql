-- Offers as Stripe last told us, and the line of their life.

create table financing_offers (
    offer_id text primary key,
    account_id text not null,
    livemode boolean not null,
    -- Stripe's word, also one that we do not know yet.
    status text not null,
    -- How far along its life the status is. It never falls; see `stripe::OfferStatus::rank`.
    status_rank smallint not null,
    product_type text,
    campaign_type text,
    financing_type text,
    disclaimer_variant text,
    currency text,
    -- Minor units of `currency`. Null where Stripe sent no terms.
    advance_minor bigint,
    fee_minor bigint,
    -- A fraction: 0.15 is 15 % of each day's sales.
    withhold_rate double precision,
    replacement_offer_id text,
    replacement_for_offer_id text,
    -- The whole object as Stripe last sent it. `json`, not `jsonb`: jsonb refuses text that Stripe may send (\u0000).
    object json not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    charged_off_at timestamptz,
    first_seen_at timestamptz not null,
    -- When Stripe rendered `object`: an older rendering never overwrites a newer one.
    object_as_of timestamptz not null
);

create index financing_offers_account on financing_offers (account_id, created_at);
create index financing_offers_status on financing_offers (status, created_at);

-- What happened, a line each, for people. Lines are added and never changed.
create table timeline_entries (
    timeline_entry_id bigint generated always as identity primary key,
    -- No foreign key: a transaction's event can come before its offer's.
    offer_id text,
    account_id text,
    -- The event that caused the line, or null where we did something ourselves.
    event_id text unique,
    -- Stripe's event type, or our own `letter.sent`, `offer.delivered`, …
    what text not null,
    status_before text,
    status_after text,
    note text,
    -- When it happened at Stripe's (or here), and when we wrote it down.
    happened_at timestamptz not null,
    recorded_at timestamptz not null
);

create index timeline_entries_offer on timeline_entries (offer_id, timeline_entry_id);
create index timeline_entries_account on timeline_entries (account_id, timeline_entry_id);
