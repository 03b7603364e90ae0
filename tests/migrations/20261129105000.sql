insert into operator_actions (acted_at, operator, channel, action, subject, offer_id, account_id, reason, outcome) values
    ('2026-11-24T12:00:00Z', 'kim', 'console', 'letter.resend', 'offer:financingoffer_2', 'financingoffer_2', 'acct_1', 'the address was corrected', 'queued'),
    ('2026-11-24T12:01:00Z', 'root', 'command_line', 'job.retry', 'job:1', null, null, null, 'queued');
