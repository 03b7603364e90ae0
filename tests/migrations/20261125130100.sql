insert into relays (relay, next_at) values ('smtp://relay.example:587', '2026-11-25T12:00:01Z');
