-- The trace that an event and its jobs belong to, so that it continues in other processes.

-- A `traceparent` of W3C Trace Context; null without traces, and from replicas of earlier versions.
-- Adding a nullable column rewrites no row.
alter table inbox_events add column traceparent text;

-- Of what queued the job last.
alter table jobs add column traceparent text;
