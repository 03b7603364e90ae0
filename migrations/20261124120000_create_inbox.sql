-- The inbox: every event that Stripe sent and that was proven to be Stripe's, as it came.

create table inbox_events (
    -- Stripe's own id. It is the whole defence against events that come twice.
    event_id text primary key,
    -- The order in which we took them in. Readers follow it; Stripe promises no order of its own.
    arrival bigint generated always as identity,
    event_type text not null,
    -- `data.object.id`, where there is one.
    object_id text,
    -- The connected account that the event is about.
    account_id text,
    -- Null where the event did not say.
    livemode boolean,
    api_version text,
    -- The body's bytes, unchanged: what the signature was made over.
    payload bytea not null,
    state text not null default 'unread',
    -- Why an event was not acted on, for a person to read.
    note text,
    -- Stripe's `created`.
    created_at timestamptz,
    received_at timestamptz not null,
    read_at timestamptz,
    constraint inbox_events_state check (state in ('unread', 'read', 'ignored', 'wrong_mode', 'unreadable')),
    constraint inbox_events_read_has_time check ((state = 'unread') = (read_at is null))
);

create index inbox_events_unread on inbox_events (arrival) where state = 'unread';
create index inbox_events_object on inbox_events (object_id, arrival);
create index inbox_events_received on inbox_events (received_at);

comment on table inbox_events is 'Events from Stripe, kept before Stripe got its 200';

-- Bodies with a good signature that are no event. Stripe got a 400 and tries again; one row each body.
create table malformed_bodies (
    body_sha256 bytea primary key,
    body bytea not null,
    reason text not null,
    times bigint not null default 1,
    first_received_at timestamptz not null,
    last_received_at timestamptz not null
);
