insert into jobs (kind, key, subject, state, attempt, due_at, lease_token, leased_until, last_error, queued_at, finished_at)
values
    ('send_letter', 'send_letter:letter_waiting', 'letter_waiting', 'queued', 0, '2026-11-24T12:00:00Z', null, null, null,
        '2026-11-24T12:00:00Z', null),
    ('mark_delivered', 'mark_delivered:financingoffer_1', 'financingoffer_1', 'claimed', 1, '2026-11-24T12:00:00Z',
        'f47ac10b-58cc-4372-a567-0e02b2c3d479', '2026-11-24T12:01:00Z', null, '2026-11-24T12:00:00Z', null),
    ('send_letter', 'send_letter:letter_held', 'letter_held', 'dead', 20, '2026-11-24T12:00:00Z', null, null, 'gave up',
        '2026-11-24T12:00:00Z', '2026-11-25T12:00:00Z');
