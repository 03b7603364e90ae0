-- The queue: work that talks to Stripe or to the relay, claimed by lease.

create table jobs (
    job_id bigint generated always as identity primary key,
    kind text not null,
    -- `<kind>:<subject>`. Jobs that are done stay, so that the same work is not queued twice.
    key text not null unique,
    -- What the work is about: an id, or `all`.
    subject text not null,
    state text not null default 'queued',
    -- Attempts, counted from 1.
    attempt integer not null default 0,
    -- Claimed only while no other job of its kind is due: reminders wait for first letters.
    low_priority boolean not null default false,
    due_at timestamptz not null,
    -- The holder's token, and when its lease ends. Only the holder of the token can finish the job.
    lease_token uuid,
    leased_until timestamptz,
    last_error text,
    queued_at timestamptz not null,
    -- When reconciliation last queued the job again after it was dead.
    requeued_at timestamptz,
    finished_at timestamptz,
    constraint jobs_state check (state in ('queued', 'claimed', 'done', 'dead')),
    constraint jobs_claimed_has_lease check (
        (state = 'claimed') = (lease_token is not null)
        and (state = 'claimed') = (leased_until is not null)
    ),
    constraint jobs_finished_has_time check (
        (state in ('done', 'dead')) = (finished_at is not null)
    )
);

-- Claims walk along these two.
create index jobs_queued on jobs (kind, low_priority, due_at, job_id) where state = 'queued';
create index jobs_abandoned on jobs (kind, leased_until) where state = 'claimed';
-- Counted at every scrape, and listed.
create index jobs_dead on jobs (due_at, job_id) where state = 'dead';
