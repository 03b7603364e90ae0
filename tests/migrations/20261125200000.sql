insert into transaction_backfills
    (account_id, after_transaction_id, completed_at, unreadable, changed_at, began_at, is_whole, skipped, asked_again_at)
values
    ('acct_reading', 'cptxn_payment', '2026-11-24T12:00:00Z', 1, '2026-11-26T12:00:00Z', '2026-11-26T11:59:00Z', true, 2, null),
    ('acct_asked', null, '2026-11-24T12:00:00Z', 0, '2026-11-26T12:00:00Z', null, false, 0, '2026-11-26T12:00:00Z');
