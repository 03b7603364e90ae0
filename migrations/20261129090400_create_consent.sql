-- Who may be written to, at which address, and what came back.

-- Accounts that opted out of letters about Capital. A row stays after it ended, as evidence.
create table opt_outs (
    opt_out_id bigint generated always as identity primary key,
    account_id text not null,
    -- `operator`, `link` (our page), `one_click` (RFC 8058), `api`, `import`, `complaint` (marked
    -- as spam), `sender` (the mail sender's own link).
    source text not null,
    -- The letters that the opt-out covers. There is no narrower choice.
    scope text not null default 'capital_marketing',
    note text,
    opted_out_at timestamptz not null,
    -- When and by which source it was ended.
    ended_at timestamptz,
    ended_by text,
    constraint opt_outs_source check (source in (
        'operator', 'link', 'one_click', 'api', 'import', 'complaint', 'sender'
    )),
    constraint opt_outs_scope check (scope = 'capital_marketing'),
    constraint opt_outs_end_has_source check ((ended_at is null) = (ended_by is null))
);

create unique index opt_outs_one_active on opt_outs (account_id) where ended_at is null;

-- Addresses that hard-bounced or that the relay refused. No letter goes there until an operator
-- ends the suppression. A row stays after it ended.
create table suppressed_addresses (
    suppressed_address_id bigint generated always as identity primary key,
    -- SHA-256 of the address in lower case.
    address_sha256 bytea not null,
    -- `bounce` (reported later) or `refused` (the relay's reply to RCPT).
    reason text not null,
    -- The enhanced status code (RFC 3463).
    status text not null,
    letter_id text not null references letters (letter_id),
    suppressed_at timestamptz not null,
    -- When and by which source it was ended.
    ended_at timestamptz,
    ended_by text,
    constraint suppressed_addresses_reason check (reason in ('bounce', 'refused')),
    constraint suppressed_addresses_end_has_source check ((ended_at is null) = (ended_by is null))
);

create unique index suppressed_addresses_one_active on suppressed_addresses (address_sha256)
    where ended_at is null;

-- Addresses that the platform set for an account. They take precedence over Stripe's.
create table contact_overrides (
    account_id text primary key,
    address text not null,
    updated_at timestamptz not null,
    -- The API key that set it.
    updated_by text not null,
    constraint contact_overrides_address check (address like '%_@_%' and length(address) <= 254)
);

create index contact_overrides_updated on contact_overrides (updated_at);

-- Bounces and complaints about letters. A repeated report changes nothing, even if the letter was
-- sent again in between.
create table feedback_events (
    -- SHA-256 of the channel and of the report's id there.
    fingerprint bytea primary key,
    letter_id text not null references letters (letter_id),
    -- `mail` (RFC 3464, RFC 5965), or the mail sender whose webhook reported it.
    channel text not null,
    -- What the report changed.
    outcome text not null,
    -- The status code or the kind of complaint. Never an address.
    detail text,
    reported_at timestamptz not null,
    constraint feedback_events_channel check (channel in ('mail', 'ses', 'sendgrid', 'postmark')),
    constraint feedback_events_outcome check (outcome in (
        'bounced', 'recorded', 'opted_out', 'transient', 'not_spam', 'other_recipient', 'duplicate'
    ))
);

create index feedback_events_reported on feedback_events (reported_at);
