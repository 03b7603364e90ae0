-- When reconciliation last queued a dead job again: it does so at most once a day for each.
alter table jobs add column requeued_at timestamptz;
