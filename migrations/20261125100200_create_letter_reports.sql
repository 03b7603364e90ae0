-- What others tell about letters that were sent: they came back, or were called spam. Kept so that a report that comes twice changes
-- nothing the second time, also where the letter was sent again in between.

create table letter_reports (
    -- SHA-256 of what tells this report from all others: the way that it came, and its id there.
    fingerprint bytea primary key,
    letter_id text not null references letters (letter_id),
    -- `mail` (RFC 3464, RFC 5965), or the sender's webhook that told it.
    door text not null,
    -- What it did.
    outcome text not null,
    -- The status or the kind of complaint, as it was told. Never an address.
    detail text,
    reported_at timestamptz not null,
    constraint letter_reports_door check (door in ('mail', 'ses', 'sendgrid', 'postmark')),
    constraint letter_reports_outcome check (outcome in (
        'bounced', 'noted', 'opted_out', 'not_for_good', 'not_spam', 'somebody_else', 'known'
    ))
);

create index letter_reports_letter on letter_reports (letter_id);
create index letter_reports_reported on letter_reports (reported_at);
