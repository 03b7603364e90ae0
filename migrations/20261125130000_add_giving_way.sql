-- First letters go before reminders.

alter table jobs
    -- Claimed only where no other job of its kind is due: a reminder gives way to first letters.
    add column gives_way boolean not null default false;

drop index jobs_queued;
create index jobs_queued on jobs (kind, gives_way, due_at, job_id) where state = 'queued';
