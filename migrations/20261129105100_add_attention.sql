-- What waits for an operator is counted at every scrape, from these indexes.

create index letters_stopped on letters (state, reason, changed_at, letter_id)
    where state in ('held', 'rejected', 'bounced');
create index deliveries_refused on deliveries (requested_at) where state = 'refused';
create index inbox_events_unreadable on inbox_events (received_at) where state = 'unreadable';
create index malformed_bodies_received on malformed_bodies (last_received_at);

-- Of the new events, those that their webhook should have brought minutes before.
alter table reconcile_runs add column events_missed bigint not null default 0;
