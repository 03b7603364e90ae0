insert into financing_summaries (account_id, object, as_of, livemode) values
    ('acct_3', '{"status": "accepted"}', '2026-11-25T16:00:00Z', true);
