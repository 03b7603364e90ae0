-- Offers as Stripe last described them, and their history.

create table financing_offers (
    offer_id text primary key,
    account_id text not null,
    livemode boolean not null,
    -- Stripe's status, including one that this version does not know. `timeline::transition` says
    -- which status an event may replace.
    status text not null,
    product_type text,
    campaign_type text,
    financing_type text,
    disclaimer_variant text,
    currency text,
    -- Minor units of `currency`. Null if the object has no terms.
    advance_minor bigint,
    fee_minor bigint,
    -- A fraction: 0.15 is 15 % of each day's sales.
    withhold_rate double precision,
    replacement_offer_id text,
    replacement_for_offer_id text,
    -- The whole object as Stripe last sent it. `json`, because `jsonb` refuses the `\u0000` that
    -- Stripe may send.
    object json not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    charged_off_at timestamptz,
    first_seen_at timestamptz not null,
    -- When Stripe rendered `object`. An older rendering never overwrites a newer one.
    object_as_of timestamptz not null
);

-- An account's offers, the newest first.
create index financing_offers_account on financing_offers (account_id, created_at);
create index financing_offers_status on financing_offers (status, created_at);
-- Reminders walk through the offers that are open.
create index financing_offers_delivered on financing_offers (offer_id) where status = 'delivered';

-- What happened to an offer or an account, for people to read. Append-only.
create table timeline_entries (
    timeline_entry_id bigint generated always as identity primary key,
    -- No foreign key: a transaction's event can arrive before its offer's.
    offer_id text,
    account_id text,
    -- The event that caused the entry; null if the service acted by itself.
    event_id text unique,
    -- Stripe's event type, or one of our own: `letter.sent`, `offer.delivered`, …
    kind text not null,
    status_before text,
    status_after text,
    note text,
    -- When it happened, at Stripe or here.
    happened_at timestamptz not null,
    recorded_at timestamptz not null
);

create index timeline_entries_offer on timeline_entries (offer_id, timeline_entry_id);
create index timeline_entries_account on timeline_entries (account_id, timeline_entry_id);
