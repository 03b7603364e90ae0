insert into letters (letter_id, offer_id, account_id, kind, state, reason, message_id, created_at, changed_at)
values
    ('letter_waiting', 'financingoffer_1', 'acct_1', 'offer', 'waiting', null, 'waiting@rocket.example',
        '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z'),
    ('letter_held', 'financingoffer_2', 'acct_1', 'offer', 'held', 'no_recipient', 'held@rocket.example',
        '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z');

insert into letters
    (letter_id, offer_id, account_id, kind, state, message_id, attempt, recipient, locale, template_version, subject, body_text,
        body_html, relay_reply, created_at, sending_started_at, sent_at, changed_at)
values
    ('letter_sent', 'financingoffer_bare', 'acct_2', 'offer', 'sent', 'sent@rocket.example', 1, 'jenny@bakery.example', 'en', 'v1',
        'subject', 'text', '<p>html</p>', '250 ok', '2026-11-24T12:00:00Z', '2026-11-24T12:00:01Z', '2026-11-24T12:00:02Z',
        '2026-11-24T12:00:02Z');

insert into deliveries (offer_id, letter_id, state, requested_at, delivered_at)
values
    ('financingoffer_1', 'letter_waiting', 'pending', '2026-11-24T12:00:02Z', null),
    ('financingoffer_bare', 'letter_sent', 'delivered', '2026-11-24T12:00:02Z', '2026-11-24T12:00:03Z');

insert into letters (letter_id, offer_id, account_id, kind, state, reason, message_id, uncertain_attempts, offered_terms, created_at, changed_at)
values ('letter_in_doubt', 'financingoffer_3', 'acct_1', 'offer', 'held', 'uncertain', 'doubt@rocket.example', 1,
        '{"advance_amount": 100000, "currency": "usd"}', '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z');

insert into letters (letter_id, offer_id, account_id, sequence, kind, state, message_id, created_at, changed_at)
values
    ('letter_reminder', 'financingoffer_bare', 'acct_2', 1, 'reminder_7d', 'waiting', 'reminder@rocket.example',
        '2026-12-01T12:00:00Z', '2026-12-01T12:00:00Z');

insert into copy_approvals (copy_hash, market, reference, approved_by, approved_at)
values ('0011223344556677', 'US', 'CCR-1', 'compliance@rocket.example', '2026-11-24T12:00:00Z');

insert into delivery_attempts
    (letter_id, attempt, offer_id, account_id, kind, locale, message_id, recipient, subject, message, message_sha256, template_version,
        copy_hash, disclaimer_variant, consent_checked_at, attempted_at)
values
    ('letter_sent', 1, 'financingoffer_bare', 'acct_2', 'offer', 'en', 'sent@rocket.example', 'jenny@bakery.example', 'subject', 'bytes',
        sha256('bytes'), 'v1', '0011223344556677', 'celtic_us_loan', '2026-11-24T12:00:01Z', '2026-11-24T12:00:01Z');

insert into delivery_attempt_results (delivery_attempt_id, outcome, reply, recorded_at)
select delivery_attempt_id, 'sent', '250 ok', '2026-11-24T12:00:02Z' from delivery_attempts;

insert into relays (relay, next_send_at) values ('smtp://relay.example:587', '2026-11-25T12:00:01Z');

insert into letters (letter_id, offer_id, account_id, sequence, kind, state, message_id, created_at, sent_at, changed_at, erased_at)
values
    ('letter_erased', 'financingoffer_bare', 'acct_2', 2, 'reminder_14d', 'sent', 'erased@rocket.example', '2025-11-24T12:00:00Z',
        '2025-11-24T12:00:00Z', '2025-11-24T12:00:00Z', '2026-11-24T12:00:00Z');
