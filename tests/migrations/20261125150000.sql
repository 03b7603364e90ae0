insert into inbox_events (event_id, event_type, payload, state, received_at, read_at, erased_at)
values ('evt_erased', 'capital.financing_offer.created', '', 'read', '2025-11-24T12:00:00Z', '2025-11-24T12:00:01Z', '2026-11-24T12:00:00Z');

insert into letters (letter_id, offer_id, account_id, step, kind, state, message_id, opened_at, sent_at, changed_at, erased_at)
values
    ('letter_erased', 'financingoffer_bare', 'acct_2', 2, 'reminder_14d', 'sent', 'erased@rocket.example', '2025-11-24T12:00:00Z',
        '2025-11-24T12:00:00Z', '2025-11-24T12:00:00Z', '2026-11-24T12:00:00Z');
