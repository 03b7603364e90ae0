insert into letters (letter_id, offer_id, account_id, step, kind, state, message_id, opened_at, changed_at)
values
    ('letter_reminder', 'financingoffer_bare', 'acct_2', 1, 'reminder_7d', 'waiting', 'reminder@rocket.example',
        '2026-12-01T12:00:00Z', '2026-12-01T12:00:00Z');
