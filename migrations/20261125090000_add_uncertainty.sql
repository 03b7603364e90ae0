-- What it takes to go through any order of events and any outage: doubts that are not forgotten, the terms that a letter was
-- written from, a queue that stays quick with a backlog.

alter table letters
    -- How often nobody could know whether the relay had taken it. It never falls: above zero, a merchant may have it, whatever
    -- the state says.
    add column doubts integer not null default 0,
    -- Stripe's `offered_terms` as they were when the letter was written.
    add column offered_terms json;

comment on column letters.attempt is 'Times that the message was handed over to the relay, counted from 1';

create index jobs_queued on jobs (kind, due_at, job_id) where state = 'queued';
create index jobs_abandoned on jobs (kind, leased_until) where state = 'claimed';
-- How many were given up is asked at every scrape.
create index jobs_dead on jobs (finished_at) where state = 'dead';
drop index jobs_due;
drop index jobs_leased;
