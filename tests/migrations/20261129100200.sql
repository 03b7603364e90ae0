insert into copy_approvals
    (copy_hash, market, reference, approved_by, approved_at, kind, language, disclaimer_variant,
        withdrawn_at, withdrawn_by, withdrawal_reason)
values
    ('8899aabbccddeeff', 'GB', 'CCR-2', 'compliance@rocket.example', '2026-11-25T12:00:00Z', 'offer',
        'en', 'youlend_uk_mca', '2026-11-26T12:00:00Z', 'compliance@rocket.example', 'minimum missing'),
    ('8899aabbccddeeff', 'GB', 'CCR-3', 'compliance@rocket.example', '2026-11-27T12:00:00Z', 'offer',
        'en', 'youlend_uk_mca', null, null, null);
