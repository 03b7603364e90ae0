insert into jobs (kind, key, subject, state, attempt, due_at, lease_token, leased_until, last_error, queued_at, finished_at)
values
    ('send_letter', 'send_letter:letter_waiting', 'letter_waiting', 'queued', 0, '2026-11-24T12:00:00Z', null, null, null,
        '2026-11-24T12:00:00Z', null),
    ('mark_delivered', 'mark_delivered:financingoffer_1', 'financingoffer_1', 'claimed', 1, '2026-11-24T12:00:00Z',
        'f47ac10b-58cc-4372-a567-0e02b2c3d479', '2026-11-24T12:01:00Z', null, '2026-11-24T12:00:00Z', null),
    ('send_letter', 'send_letter:letter_held', 'letter_held', 'dead', 20, '2026-11-24T12:00:00Z', null, null, 'gave up',
        '2026-11-24T12:00:00Z', '2026-11-25T12:00:00Z');

insert into jobs (kind, key, subject, low_priority, due_at, queued_at)
values ('send_letter', 'send_letter:letter_low_priority', 'letter_low_priority', true, '2026-11-25', '2026-11-25');

insert into jobs (kind, key, subject, state, attempt, due_at, last_error, queued_at, finished_at, requeued_at)
values ('mark_delivered', 'mark_delivered:financingoffer_dead', 'financingoffer_dead', 'dead', 1, '2026-11-28',
    'Stripe answered 400', '2026-11-28', '2026-11-28', '2026-11-28');
