-- The inbox: every event whose signature was valid, committed before Stripe gets its 200.

create table inbox_events (
    -- Stripe's id. The primary key is what makes a repeated event harmless.
    event_id text primary key,
    -- The order of arrival, in which events are read. Stripe promises no order of its own.
    arrival bigint generated always as identity,
    event_type text not null,
    -- `data.object.id`, if present.
    object_id text,
    -- The connected account that the event is about.
    account_id text,
    -- Null if the event does not say.
    livemode boolean,
    api_version text,
    -- The bytes of the request's body, unchanged: the signature covers them.
    payload bytea not null,
    state text not null default 'unread',
    -- Why the event was not acted on, or a warning to the operator.
    note text,
    -- Stripe's `created`.
    created_at timestamptz,
    received_at timestamptz not null,
    read_at timestamptz,
    -- When the body was erased. The id stays, so that the event is known if it is repeated.
    erased_at timestamptz,
    constraint inbox_events_state check (
        state in ('unread', 'read', 'ignored', 'wrong_mode', 'unreadable')
    ),
    constraint inbox_events_read_has_time check ((state = 'unread') = (read_at is null))
);

create index inbox_events_unread on inbox_events (arrival) where state = 'unread';
create index inbox_events_object on inbox_events (object_id, arrival);
create index inbox_events_received on inbox_events (received_at);
create index inbox_events_not_erased on inbox_events (received_at) where erased_at is null;
create index inbox_events_account on inbox_events (account_id) where erased_at is null;

-- Bodies with a valid signature that are not events. Stripe gets a 400 and retries: one row per
-- distinct body.
create table malformed_bodies (
    body_sha256 bytea primary key,
    body bytea not null,
    reason text not null,
    receipts bigint not null default 1,
    first_received_at timestamptz not null,
    last_received_at timestamptz not null
);
