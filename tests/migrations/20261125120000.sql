insert into handovers
    (letter_id, attempt, offer_id, account_id, kind, locale, message_id, recipient, subject, message, message_sha256, template_version,
        copy_hash, disclaimer_variant, checked_at, handed_over_at)
values
    ('letter_sent', 1, 'financingoffer_bare', 'acct_2', 'offer', 'en', 'sent@rocket.example', 'jenny@bakery.example', 'subject', 'bytes',
        sha256('bytes'), 'v1', '0011223344556677', 'celtic_us_loan', '2026-11-24T12:00:01Z', '2026-11-24T12:00:01Z');

insert into handover_answers (handover_id, outcome, answer, answered_at)
select handover_id, 'taken', '250 ok', '2026-11-24T12:00:02Z' from handovers;
