insert into inbox_bodies (received_on, event_id, body) values ('2026-12-24', 'evt_default', '{}');
