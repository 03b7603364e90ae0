-- Asking Stripe what never reached us, and who takes part in the work.

create table reconcile_runs (
    -- Version 7: sorts by time.
    run_id uuid primary key,
    state text not null default 'running',
    started_at timestamptz not null,
    ended_at timestamptz,
    -- Offers that Stripe calls undelivered, and those of them that were new to us.
    offers_seen bigint not null default 0,
    offers_new bigint not null default 0,
    -- Events that no endpoint answered 2xx to, and those of them that were new to us.
    events_seen bigint not null default 0,
    events_new bigint not null default 0,
    -- Offers that we call undelivered and Stripe does not: each is looked at.
    looks bigint not null default 0,
    -- Entries of Stripe's lists that we could not read.
    unreadable bigint not null default 0,
    error text,
    constraint reconcile_runs_state check (state in ('running', 'complete', 'incomplete')),
    constraint reconcile_runs_end_has_time check ((state = 'running') = (ended_at is null)),
    constraint reconcile_runs_incomplete_has_error check ((state = 'incomplete') = (error is not null))
);

create index reconcile_runs_state_ended on reconcile_runs (state, ended_at);

comment on table reconcile_runs is 'A run that a crash cut off stays `running`; the next one does its work';

-- Processes that work: they share Stripe's rate limit. A row that is not renewed counts no longer.
create table processes (
    process_id uuid primary key,
    started_at timestamptz not null,
    seen_at timestamptz not null
);
