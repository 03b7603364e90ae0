insert into financing_summaries (account_id, object, as_of, differs_since) values
    ('acct_1', '{"status": "accepted"}', '2026-11-25T16:00:00Z', null),
    ('acct_2', '{"status": "accepted"}', '2026-11-25T16:00:00Z', '2026-11-25T16:00:00Z');
