insert into jobs (kind, key, subject, gives_way, due_at, queued_at)
values ('send_letter', 'send_letter:letter_giving_way', 'letter_giving_way', true, '2026-11-25', '2026-11-25');
