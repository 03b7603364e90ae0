-- Which of the webhook secrets signed the request that brought an event: the first digits of the
-- secret's SHA-256. Null for events that reconciliation found. A secret that signs nothing any more
-- can be removed.

alter table inbox_events add column signed_with text;
