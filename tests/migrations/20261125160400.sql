insert into payout_explanations (payout_id, account_id, arrives_on, explanation, explained_at) values
    ('po_1', 'acct_1', '2026-11-25', '{"paid_out_minor": 40500}', '2026-11-25T16:00:00Z');
