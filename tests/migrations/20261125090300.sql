insert into copy_approvals (copy_hash, market, reference, approved_by, approved_at)
values ('0011223344556677', 'US', 'CCR-1', 'compliance@rocket.example', '2026-11-24T12:00:00Z');
