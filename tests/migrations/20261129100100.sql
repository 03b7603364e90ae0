insert into delivery_reports (offer_id, account_id, channel, told_at, reference, reported_by, recorded_at) values
    ('financingoffer_2', 'acct_1', 'dashboard', '2026-11-24T12:00:00Z', 'banner 7', 'key_1', '2026-11-24T12:00:05Z'),
    ('financingoffer_2', 'acct_1', 'push', '2026-11-24T12:00:00Z', null, 'portal', '2026-11-24T12:00:05Z');

insert into deliveries (offer_id, letter_id, state, requested_at)
values ('financingoffer_2', null, 'pending', '2026-11-24T12:00:05Z');
