-- What the service records about its own operation.

-- Runs of reconciliation with Stripe. A run that a crash interrupted stays `running`; the next one
-- does its work.
create table reconcile_runs (
    -- Version 7: sorts by time.
    run_id uuid primary key,
    state text not null default 'running',
    started_at timestamptz not null,
    ended_at timestamptz,
    -- Offers that Stripe calls undelivered, and how many of them were new.
    offers_seen bigint not null default 0,
    offers_new bigint not null default 0,
    -- Events that no endpoint answered with 2xx, and how many of them were new.
    events_seen bigint not null default 0,
    events_new bigint not null default 0,
    -- Offers that only we call undelivered: each is fetched from Stripe.
    offers_refreshed bigint not null default 0,
    -- Entries of Stripe's lists that could not be read.
    unreadable bigint not null default 0,
    error text,
    constraint reconcile_runs_state check (state in ('running', 'complete', 'incomplete')),
    constraint reconcile_runs_end_has_time check ((state = 'running') = (ended_at is null)),
    constraint reconcile_runs_incomplete_has_error check (
        (state = 'incomplete') = (error is not null)
    )
);

create index reconcile_runs_state_ended on reconcile_runs (state, ended_at);

-- Replicas of the service: they share Stripe's rate limit. One whose heartbeat is old does not
-- count.
create table replicas (
    replica_id uuid primary key,
    started_at timestamptz not null,
    last_seen_at timestamptz not null
);
