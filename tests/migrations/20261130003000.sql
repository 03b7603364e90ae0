insert into refill_discounts (refill_offer_id, account_id, livemode, offer_id, currency, discount_minor, created_at, recorded_at) values
    ('financingoffer_refill', 'acct_1', false, 'financingoffer_1', 'usd', 500, '2026-11-25T16:00:00Z', '2026-11-25T16:00:01Z');
