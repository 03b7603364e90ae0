insert into pauses (market, kind, reason, paused_by, paused_at, ended_at, ended_by, end_reason)
values
    (null, null, 'wrong template', 'ops@rocket.example', '2026-11-25T12:00:00Z',
        '2026-11-25T13:00:00Z', 'ops@rocket.example', 'template corrected'),
    ('GB', 'reminder_7d', 'disclaimer under review', 'compliance@rocket.example',
        '2026-11-26T12:00:00Z', null, null, null);
