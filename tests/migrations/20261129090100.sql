insert into inbox_events
    (event_id, event_type, object_id, account_id, livemode, api_version, payload, created_at, received_at)
values
    ('evt_unread', 'capital.financing_offer.created', 'financingoffer_1', 'acct_1', false, '2026-10-28.dahlia', '\x7b7d',
        '2026-11-24T12:00:00Z', '2026-11-24T12:00:01Z'),
    ('evt_bare', 'something.new', null, null, null, null, '\x00ff', null, '2026-11-24T12:00:02Z');

insert into inbox_events (event_id, event_type, livemode, payload, state, note, received_at, read_at)
values
    ('evt_read', 'capital.financing_offer.accepted', false, '\x7b7d', 'read', null, '2026-11-24T12:00:03Z', '2026-11-24T12:00:04Z'),
    ('evt_live', 'capital.financing_offer.created', true, '\x7b7d', 'wrong_mode', 'a live event, a test key',
        '2026-11-24T12:00:05Z', '2026-11-24T12:00:06Z');

insert into malformed_bodies (body_sha256, body, reason, first_received_at, last_received_at)
values ('\xabcd', '\xff', 'not UTF-8', '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z');

insert into inbox_events (event_id, event_type, payload, state, received_at, read_at, erased_at)
values ('evt_erased', 'capital.financing_offer.created', '', 'read', '2025-11-24T12:00:00Z', '2025-11-24T12:00:01Z', '2026-11-24T12:00:00Z');
