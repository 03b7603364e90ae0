insert into opt_outs (account_id, source, note, opted_out_at)
values ('acct_9', 'operator', 'asked by phone', '2026-11-24T12:00:00Z');

insert into opt_outs (account_id, source, opted_out_at, ended_at, ended_by)
values ('acct_10', 'complaint', '2026-11-24T12:00:00Z', '2026-11-25T12:00:00Z', 'api');

insert into feedback_events (fingerprint, letter_id, channel, outcome, detail, reported_at)
values ('\x01', 'letter_sent', 'mail', 'bounced', '5.1.1', '2026-11-24T12:00:00Z');

insert into suppressed_addresses (address_sha256, reason, status, letter_id, suppressed_at, ended_at, ended_by)
values
    ('\x01', 'bounce', '5.1.1', 'letter_sent', '2026-11-24T12:00:00Z', null, null),
    ('\x01', 'refused', '5.1.2', 'letter_sent', '2026-11-23T12:00:00Z', '2026-11-23T13:00:00Z', 'operator');

update letters set suppressed_address_sha256 = '\x01' where letter_id = 'letter_sent';

insert into contact_overrides (account_id, address, updated_at, updated_by) values
    ('acct_1', 'owner@bakery.example', '2026-11-25T17:00:00Z', 'key_1');
