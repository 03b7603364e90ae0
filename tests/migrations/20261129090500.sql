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

insert into financing_transactions
    (transaction_id, account_id, offer_id, livemode, type, currency, total_minor, object, created_at, first_seen_at)
values
    ('cptxn_absurd_1', 'acct_1', 'financingoffer_4', false, 'payout', 'usd', 9223372036854775807, '{}', '2026-11-28T12:00:00Z',
        '2026-11-28T12:00:01Z'),
    ('cptxn_absurd_2', 'acct_1', 'financingoffer_4', false, 'payment', 'usd', -9223372036854775808, '{}', '2026-11-28T12:00:00Z',
        '2026-11-28T12:00:01Z');
select sum(total_minor) from financing_ledger;

insert into transaction_backfills
    (account_id, after_transaction_id, completed_at, unreadable, changed_at, started_at, is_full, skipped, full_pass_requested_at)
values
    ('acct_reading', 'cptxn_payment', '2026-11-24T12:00:00Z', 1, '2026-11-26T12:00:00Z', '2026-11-26T11:59:00Z', true, 2, null),
    ('acct_asked', null, '2026-11-24T12:00:00Z', 0, '2026-11-26T12:00:00Z', null, false, 0, '2026-11-26T12:00:00Z');

insert into financing_summaries (account_id, object, as_of, differs_since) values
    ('acct_1', '{"status": "accepted"}', '2026-11-25T16:00:00Z', null),
    ('acct_2', '{"status": "accepted"}', '2026-11-25T16:00:00Z', '2026-11-25T16:00:00Z');

insert into financing_summaries (account_id, object, as_of, livemode) values
    ('acct_3', '{"status": "accepted"}', '2026-11-25T16:00:00Z', true);

insert into financing_summaries (account_id, object, as_of, differs_since, difference, difference_since) values
    ('acct_absurd', '{"note": "\u0000"}', '2026-11-28T12:00:00Z', '2026-11-28T11:00:00Z', '0 -300 300', '2026-11-28T12:00:00Z');

insert into account_locales (account_id, country, time_zone, fetched_at) values
    ('acct_1', 'US', 'America/New_York', '2026-11-25T16:00:00Z'),
    ('acct_2', null, 'UTC', '2026-11-25T16:00:00Z');

insert into charge_sources (account_id, charge_id, transfer_id, source_charge_id, fetched_at) values
    ('acct_1', 'py_1', 'tr_1', 'ch_1', '2026-11-25T16:00:00Z'),
    ('acct_1', 'ch_2', null, null, '2026-11-25T16:00:00Z');

insert into payout_explanations (payout_id, account_id, arrives_on, explanation, explained_at) values
    ('po_1', 'acct_1', '2026-11-25', '{"paid_out_minor": 40500}', '2026-11-25T16:00:00Z');
