insert into letter_reports (fingerprint, letter_id, door, outcome, detail, reported_at)
values ('\x01', 'letter_sent', 'mail', 'bounced', '5.1.1', '2026-11-24T12:00:00Z');
