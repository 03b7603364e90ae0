insert into contact_overrides (account_id, address, named_at, named_by) values
    ('acct_1', 'owner@bakery.example', '2026-11-25T17:00:00Z', 'key_1');
