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
    state text not null default 'unread',
    -- Why the event was not acted on, or a warning to the operator.
    note text,
    -- Stripe's `created`.
    created_at timestamptz,
    received_at timestamptz not null,
    read_at timestamptz,
    constraint inbox_events_state check (
        state in ('unread', 'read', 'ignored', 'wrong_mode', 'unreadable')
    ),
    constraint inbox_events_read_has_time check ((state = 'unread') = (read_at is null))
);

-- Events that wait: for a reader, in the order of arrival, or for an operator.
create index inbox_events_waiting on inbox_events (state, arrival)
    where state in ('unread', 'unreadable');
-- The newest events first.
create index inbox_events_received on inbox_events (received_at);
create index inbox_events_account on inbox_events (account_id) where account_id is not null;

-- The bodies of events, in one partition per day, so that retention drops tables instead of
-- rewriting rows. An event without a body was erased; its id stays, so that it is known if Stripe
-- repeats it. The key cannot deduplicate, since it must contain the day: `inbox_events` does.
create table inbox_bodies (
    -- The day of `inbox_events.received_at`, in UTC.
    received_on date not null,
    event_id text not null,
    -- The bytes of the request's body, unchanged: the signature covers them.
    body bytea not null,
    primary key (received_on, event_id)
) partition by range (received_on);

-- Bodies of days that have no partition, and those that outlive theirs because nobody has read
-- them.
create table inbox_bodies_default partition of inbox_bodies default;

-- Both functions run as the owner of the tables, so that the service needs no right to create or
-- drop tables, and give up after a quarter of a second rather than let webhooks wait: false says
-- that nothing was done. Callers try again later.

-- Gives a day its partition. False as well if the default partition already has rows of that day.
-- Attaching does not block inserts, which `create table … partition of` would.
create function create_inbox_bodies_partition(day date) returns boolean
language plpgsql security definer
set search_path from current
set lock_timeout = '250ms'
as $$
declare
    partition text := 'inbox_bodies_' || to_char(day, 'YYYYMMDD');
begin
    -- Last, so that a caller's temporary table cannot stand in for one of ours.
    perform set_config('search_path', current_setting('search_path') || ', pg_temp', true);
    if to_regclass(partition) is not null then
        return true;
    end if;
    -- Replicas take turns, and the second one finds the partition.
    lock table inbox_bodies in share update exclusive mode;
    if to_regclass(partition) is null then
        execute format('create table %I (like inbox_bodies including all)', partition);
        execute format(
            'alter table inbox_bodies attach partition %I for values from (%L) to (%L)',
            partition, day, day + 1
        );
    end if;
    return true;
exception
    when lock_not_available or check_violation then
        return false;
end
$$;

-- Drops a day's partition. Bodies of events that are unread or unreadable move to the default
-- partition: they wait for a reader or for an operator. Detaching locks out writers for as long as
-- it takes; `detach … concurrently` is not possible with a default partition.
create function drop_inbox_bodies_partition(day date) returns boolean
language plpgsql security definer
set search_path from current
set lock_timeout = '250ms'
as $$
declare
    partition text := 'inbox_bodies_' || to_char(day, 'YYYYMMDD');
begin
    perform set_config('search_path', current_setting('search_path') || ', pg_temp', true);
    -- A table lock, so that an event that is being replayed is unread, or not yet, below.
    lock table inbox_bodies in access exclusive mode;
    if to_regclass(partition) is not null then
        execute format('alter table inbox_bodies detach partition %I', partition);
        -- By the few events that wait, not by the bodies: nobody can write meanwhile.
        execute format(
            'insert into inbox_bodies (received_on, event_id, body)
             select received_on, event_id, body
             from %I
             where received_on = $1 and event_id = any(array(
                 select event_id
                 from inbox_events
                 where state in (''unread'', ''unreadable'')
                     and (received_at at time zone ''UTC'')::date = $1
             ))',
            partition
        ) using day;
        execute format('drop table %I', partition);
    end if;
    return true;
exception
    when lock_not_available then
        return false;
end
$$;

revoke execute on function create_inbox_bodies_partition(date) from public;
revoke execute on function drop_inbox_bodies_partition(date) from public;

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
