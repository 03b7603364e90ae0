-- Done jobs leave after a while, by kind and the longest done first.
create index jobs_done on jobs (kind, finished_at) where state = 'done';
