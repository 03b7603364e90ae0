insert into ledger_coverage (account_id, covered_until) values ('acct_1', '2026-11-25T16:15:00Z');
select add_up_ledger('acct_1', '2026-11-24T00:00:00Z', '2026-11-25T16:15:00Z');
