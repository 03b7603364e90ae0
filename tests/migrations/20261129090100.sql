insert into inbox_events
    (event_id, event_type, object_id, account_id, livemode, api_version, created_at, received_at)
values
    ('evt_unread', 'capital.financing_offer.created', 'financingoffer_1', 'acct_1', false,
        '2026-10-28.dahlia', '2026-11-24T12:00:00Z', '2026-11-24T12:00:01Z'),
    ('evt_bare', 'something.new', null, null, null, null, null, '2026-11-24T12:00:02Z');

insert into inbox_events (event_id, event_type, livemode, state, note, received_at, read_at)
values
    ('evt_read', 'capital.financing_offer.accepted', false, 'read', null, '2026-11-24T12:00:03Z',
        '2026-11-24T12:00:04Z'),
    ('evt_live', 'capital.financing_offer.created', true, 'wrong_mode', 'a live event, a test key',
        '2026-11-23T12:00:05Z', '2026-11-23T12:00:06Z'),
    ('evt_erased', 'capital.financing_offer.created', null, 'read', null, '2025-11-24T12:00:00Z',
        '2025-11-24T12:00:01Z');

select create_inbox_bodies_partition('2026-11-24');

insert into inbox_bodies (received_on, event_id, body)
values
    ('2026-11-24', 'evt_unread', '\x7b7d'),
    ('2026-11-24', 'evt_bare', '\x00ff'),
    ('2026-11-24', 'evt_read', '\x7b7d'),
    -- Received on a day without a partition.
    ('2026-11-23', 'evt_live', '\x7b7d');

insert into malformed_bodies (body_sha256, body, reason, first_received_at, last_received_at)
values ('\xabcd', '\xff', 'not UTF-8', '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z');
