insert into opt_outs (account_id, source, opted_out_at, ended_at, ended_by)
values ('acct_10', 'complaint', '2026-11-24T12:00:00Z', '2026-11-25T12:00:00Z', 'api');
