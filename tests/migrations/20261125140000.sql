insert into financing_transactions
    (transaction_id, account_id, offer_id, livemode, type, reason, currency, advance_minor, fee_minor, total_minor,
        reversed_transaction_id, charge_id, object, created_at, first_seen_at)
values
    ('cptxn_payout', 'acct_1', 'financingoffer_1', false, 'payout', null, 'usd', 100000, 10000, 110000, null, null, '{}',
        '2026-11-24T12:00:00Z', '2026-11-24T12:00:01Z'),
    ('cptxn_payment', 'acct_1', 'financingoffer_1', false, 'payment', 'automatic_withholding', 'usd', 1364, 136, 1500, null, 'py_1', '{}',
        '2026-11-25T12:00:00Z', '2026-11-25T12:00:01Z'),
    ('cptxn_reversal', 'acct_1', null, false, 'reversal', 'automatic_withholding_refund', 'usd', 1364, 136, 1500, 'cptxn_payment', null,
        '{}', '2026-11-26T12:00:00Z', '2026-11-26T12:00:01Z');

insert into transaction_backfills (account_id, after_transaction_id, completed_at, changed_at)
values ('acct_1', 'cptxn_payment', null, '2026-11-26T12:00:00Z');
