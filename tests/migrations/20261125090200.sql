insert into opt_outs (account_id, source, note, opted_out_at)
values ('acct_9', 'operator', 'asked by phone', '2026-11-24T12:00:00Z');
