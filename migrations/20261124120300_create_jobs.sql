-- Work that talks to the world, claimed by lease.

create table jobs (
    job_id bigint generated always as identity primary key,
    kind text not null,
    -- `send_letter:letter_…`, `mark_delivered:financingoffer_…`. Done jobs stay, so the same work is not queued twice.
    key text not null unique,
    -- What the work is about: the part of the key after the colon.
    subject text not null,
    state text not null default 'queued',
    -- Tries, counted from 1.
    attempt integer not null default 0,
    due_at timestamptz not null,
    -- Who holds it and until when. Only the holder of the token can finish it.
    lease_token uuid,
    leased_until timestamptz,
    last_error text,
    queued_at timestamptz not null,
    finished_at timestamptz,
    constraint jobs_state check (state in ('queued', 'claimed', 'done', 'dead')),
    constraint jobs_claimed_has_lease check (
        (state = 'claimed') = (lease_token is not null) and (state = 'claimed') = (leased_until is not null)
    ),
    constraint jobs_finished_has_time check ((state in ('done', 'dead')) = (finished_at is not null))
);

create index jobs_due on jobs (due_at) where state = 'queued';
create index jobs_leased on jobs (leased_until) where state = 'claimed';
create index jobs_finished on jobs (finished_at) where state in ('done', 'dead');
