insert into financing_transactions
    (transaction_id, account_id, offer_id, livemode, type, currency, total_minor, object, created_at, first_seen_at)
values
    ('cptxn_absurd_1', 'acct_1', 'financingoffer_4', false, 'payout', 'usd', 9223372036854775807, '{}', '2026-11-28T12:00:00Z',
        '2026-11-28T12:00:01Z'),
    ('cptxn_absurd_2', 'acct_1', 'financingoffer_4', false, 'payment', 'usd', -9223372036854775808, '{}', '2026-11-28T12:00:00Z',
        '2026-11-28T12:00:01Z');
select sum(total_minor) from financing_ledger;
