insert into charge_origins (account_id, charge_id, transfer_id, source_charge_id, learned_at) values
    ('acct_1', 'py_1', 'tr_1', 'ch_1', '2026-11-25T16:00:00Z'),
    ('acct_1', 'ch_2', null, null, '2026-11-25T16:00:00Z');
