insert into reconcile_runs (run_id, state, started_at, ended_at, offers_seen, error) values
    ('019ab000-0000-7000-8000-000000000001', 'running', '2026-11-24T12:00:00Z', null, 0, null),
    ('019ab000-0000-7000-8000-000000000002', 'complete', '2026-11-24T12:00:00Z', '2026-11-24T12:00:09Z', 3, null),
    ('019ab000-0000-7000-8000-000000000003', 'incomplete', '2026-11-24T12:00:00Z', '2026-11-24T12:00:09Z', 1, 'Stripe answered 500');

insert into replicas (replica_id, started_at, last_seen_at)
values ('6f9619ff-8b86-4d01-b42d-00c04fc964ff', '2026-11-24T12:00:00Z', '2026-11-24T12:00:05Z');
