insert into financing_offers (offer_id, account_id, livemode, status, object, created_at, first_seen_at, object_as_of)
values
    ('financingoffer_4', 'acct_1', false, 'canceled', '{}', '2026-11-28T12:00:00Z', '2026-11-28T12:00:01Z',
        '2026-11-28T12:00:00Z');
