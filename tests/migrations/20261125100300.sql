insert into refused_addresses (address_sha256, reason, status, letter_id, noted_at, ended_at, ended_by)
values
    ('\x01', 'bounce', '5.1.1', 'letter_sent', '2026-11-24T12:00:00Z', null, null),
    ('\x01', 'refused', '5.1.2', 'letter_sent', '2026-11-23T12:00:00Z', '2026-11-23T13:00:00Z', 'operator');

update letters set refused_address_sha256 = '\x01' where letter_id = 'letter_sent';
