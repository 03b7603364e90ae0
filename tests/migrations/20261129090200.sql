insert into financing_offers
    (offer_id, account_id, livemode, status, product_type, campaign_type, financing_type, currency, advance_minor,
        fee_minor, withhold_rate, object, created_at, expires_at, first_seen_at, object_as_of)
values
    ('financingoffer_1', 'acct_1', false, 'undelivered', 'standard', 'newly_eligible_user', 'flex_loan', 'usd', 100000, 10000, 0.15,
        '{"note": "\u0000"}', '2026-11-24T12:00:00Z', '2026-12-24T12:00:00Z', '2026-11-24T12:00:01Z', '2026-11-24T12:00:00Z'),
    ('financingoffer_bare', 'acct_2', false, 'something_new', null, null, null, null, null, null, null, '{}',
        '2026-11-24T12:00:00Z', null, '2026-11-24T12:00:01Z', '2026-11-24T12:00:00Z'),
    ('financingoffer_2', 'acct_1', false, 'delivered', 'refill', 'repeat_user', 'flex_loan', 'usd', 100000, 10000, 0.15,
        '{}', '2026-11-24T12:00:00Z', '2026-12-24T12:00:00Z', '2026-11-24T12:00:01Z', '2026-11-24T12:00:00Z'),
    ('financingoffer_3', 'acct_1', false, 'undelivered', null, null, null, null, null, null, null, '{}',
        '2026-11-24T12:00:00Z', null, '2026-11-24T12:00:01Z', '2026-11-24T12:00:00Z');

insert into timeline_entries (offer_id, account_id, event_id, kind, status_before, status_after, note, happened_at, recorded_at)
values
    ('financingoffer_1', 'acct_1', 'evt_read', 'capital.financing_offer.created', null, 'undelivered', null,
        '2026-11-24T12:00:00Z', '2026-11-24T12:00:01Z'),
    (null, 'acct_1', null, 'letter.sent', null, null, '250 ok', '2026-11-24T12:00:00Z', '2026-11-24T12:00:01Z');

insert into financing_offers (offer_id, account_id, livemode, status, object, created_at, first_seen_at, object_as_of)
values
    ('financingoffer_4', 'acct_1', false, 'canceled', '{}', '2026-11-28T12:00:00Z', '2026-11-28T12:00:01Z',
        '2026-11-28T12:00:00Z');
