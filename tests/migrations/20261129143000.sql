insert into letters
    (letter_id, offer_id, account_id, sequence, resend_number, kind, state, message_id, created_at, changed_at)
values
    ('letter_resend', 'financingoffer_bare', 'acct_2', 0, 1, 'offer', 'waiting', 'resend@rocket.example',
        '2026-12-02T12:00:00Z', '2026-12-02T12:00:00Z');
