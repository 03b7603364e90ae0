insert into financing_summaries (account_id, object, as_of, differs_since, difference, difference_since) values
    ('acct_absurd', '{"note": "\u0000"}', '2026-11-28T12:00:00Z', '2026-11-28T11:00:00Z', '0 -300 300', '2026-11-28T12:00:00Z');
