insert into account_places (account_id, country, time_zone, learned_at) values
    ('acct_1', 'US', 'America/New_York', '2026-11-25T16:00:00Z'),
    ('acct_2', null, 'UTC', '2026-11-25T16:00:00Z');
