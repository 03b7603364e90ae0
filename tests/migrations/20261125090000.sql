insert into letters (letter_id, offer_id, account_id, kind, state, reason, message_id, doubts, offered_terms, opened_at, changed_at)
values ('letter_in_doubt', 'financingoffer_3', 'acct_1', 'offer', 'held', 'uncertain', 'doubt@rocket.example', 1,
        '{"advance_amount": 100000, "currency": "usd"}', '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z');
