insert into inbox_events (event_id, event_type, received_at, traceparent)
values ('evt_traced', 'capital.financing_offer.created', '2026-11-24T12:00:01Z',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');

insert into jobs (kind, key, subject, due_at, queued_at, traceparent)
values ('send_letter', 'send_letter:letter_traced', 'letter_traced', '2026-11-25', '2026-11-25',
    '00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01');
