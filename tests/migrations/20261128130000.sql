insert into jobs (kind, key, subject, state, attempt, due_at, last_error, queued_at, finished_at, requeued_at)
values ('mark_delivered', 'mark_delivered:financingoffer_dead', 'financingoffer_dead', 'dead', 1, '2026-11-28',
    'Stripe answered 400', '2026-11-28', '2026-11-28', '2026-11-28');
