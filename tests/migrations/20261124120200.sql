insert into letters (letter_id, offer_id, account_id, kind, state, reason, message_id, opened_at, changed_at)
values
    ('letter_waiting', 'financingoffer_1', 'acct_1', 'offer', 'waiting', null, 'waiting@rocket.example',
        '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z'),
    ('letter_held', 'financingoffer_2', 'acct_1', 'offer', 'held', 'no_recipient', 'held@rocket.example',
        '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z');

insert into letters
    (letter_id, offer_id, account_id, kind, state, message_id, attempt, recipient, locale, template_version, subject, body_text,
        body_html, relay_answer, opened_at, sending_at, sent_at, changed_at)
values
    ('letter_sent', 'financingoffer_bare', 'acct_2', 'offer', 'sent', 'sent@rocket.example', 1, 'jenny@bakery.example', 'en', 'v1',
        'subject', 'text', '<p>html</p>', '250 ok', '2026-11-24T12:00:00Z', '2026-11-24T12:00:01Z', '2026-11-24T12:00:02Z',
        '2026-11-24T12:00:02Z');

insert into deliveries (offer_id, letter_id, state, owed_at, delivered_at)
values
    ('financingoffer_1', 'letter_waiting', 'owed', '2026-11-24T12:00:02Z', null),
    ('financingoffer_bare', 'letter_sent', 'delivered', '2026-11-24T12:00:02Z', '2026-11-24T12:00:03Z');
