-- Letters: one email about one offer to one recipient. Their wording's approvals, the evidence of
-- what was sent, and what Stripe was told.

create table letters (
    letter_id text primary key,
    offer_id text not null references financing_offers (offer_id),
    account_id text not null,
    -- Position in the offer's schedule: 0 for the first letter, the only one that makes the offer
    -- delivered; then the reminders.
    sequence smallint not null default 0,
    kind text not null,
    state text not null default 'waiting',
    -- Why the state is what it is: `no_recipient`, `offer_accepted`, … Null if all is well.
    reason text,
    -- Assigned before the first attempt and never changed, so that a mail reader recognizes a
    -- repeated letter.
    message_id text not null unique,
    -- Times that the message was handed to the relay, counted from 1.
    attempt integer not null default 0,
    -- Attempts with an unknown outcome. Never decreases: above zero, the merchant may have the
    -- letter, whatever the state says.
    uncertain_attempts integer not null default 0,
    -- The content, written before the relay sees its first byte.
    recipient text,
    locale text,
    template_version text,
    subject text,
    body_text text,
    body_html text,
    -- Stripe's `offered_terms` as they were when the letter was written.
    offered_terms json,
    -- The wording, as in `copy_approvals`.
    copy_hash text,
    disclaimer_variant text,
    -- The relay's last reply, verbatim.
    relay_reply text,
    -- The suppressed address that the letter is held for, was rejected for or bounced from.
    suppressed_address_sha256 bytea,
    created_at timestamptz not null,
    -- The start of the last attempt.
    sending_started_at timestamptz,
    -- When the relay answered 2xx.
    sent_at timestamptz,
    changed_at timestamptz not null,
    -- When recipient and content were erased. `delivery_attempts` keeps the evidence.
    erased_at timestamptz,
    -- Two events about one change cannot make two letters.
    constraint letters_one_per_sequence unique (offer_id, sequence),
    constraint letters_sequence check (sequence >= 0),
    constraint letters_state check (state in (
        'waiting', 'sending', 'sent', 'rejected', 'uncertain', 'withdrawn', 'suppressed', 'held',
        'bounced'
    )),
    -- The state and the timestamp must agree.
    constraint letters_sent_has_time check (
        (state in ('sent', 'bounced')) = (sent_at is not null)
    ),
    constraint letters_sending_has_content check (
        state not in ('sending', 'sent', 'bounced', 'uncertain')
        or (erased_at is not null and state in ('sent', 'bounced'))
        or (recipient is not null and subject is not null and body_text is not null
            and body_html is not null and template_version is not null
            and sending_started_at is not null and attempt > 0)
    ),
    constraint letters_end_has_reason check (
        state not in ('rejected', 'withdrawn', 'suppressed', 'held') or reason is not null
    )
);

-- Letters that are held, and those that were sent in the last day.
create index letters_state_changed on letters (state, changed_at);
create index letters_account on letters (account_id, state);
create index letters_suppressed_address on letters (suppressed_address_sha256)
    where suppressed_address_sha256 is not null;
-- Erasing walks along this.
create index letters_not_erased on letters (changed_at)
    where erased_at is null and recipient is not null;

-- Stripe's approvals of wordings, market by market.
create table copy_approvals (
    -- Hash of everything that makes up a letter except the merchant's data.
    copy_hash text not null,
    -- Two letters, as Stripe names markets: `US`, `GB`, `DE`, …
    market text not null,
    -- Stripe's reference of the approval.
    reference text not null,
    -- The operator who recorded it.
    approved_by text not null,
    approved_at timestamptz not null,
    primary key (copy_hash, market)
);

-- Evidence: one row per attempt to send a letter, written before its first byte leaves.
-- Append-only.
create table delivery_attempts (
    delivery_attempt_id bigint generated always as identity primary key,
    letter_id text not null references letters (letter_id),
    attempt integer not null,
    offer_id text not null,
    account_id text not null,
    kind text not null,
    locale text not null,
    message_id text not null,
    recipient text not null,
    subject text not null,
    -- The message byte for byte, with its headers; null once erased, which leaves the hash.
    message bytea,
    message_sha256 bytea not null,
    template_version text not null,
    copy_hash text,
    disclaimer_variant text,
    -- The approval of the wording that held at the time; null for test data.
    approval_market text,
    approval_reference text,
    approved_by text,
    -- When the opt-outs and suppressed addresses were checked, in the same transaction.
    consent_checked_at timestamptz not null,
    attempted_at timestamptz not null,
    constraint delivery_attempts_one_per_attempt unique (letter_id, attempt),
    constraint delivery_attempts_hash check (octet_length(message_sha256) = 32)
);

create index delivery_attempts_account on delivery_attempts (account_id);
-- Reports about a period.
create index delivery_attempts_attempted on delivery_attempts (attempted_at);

-- Evidence: what came of an attempt. Append-only. An attempt without a result is under way, or its
-- process has just died.
create table delivery_attempt_results (
    delivery_attempt_id bigint primary key references delivery_attempts (delivery_attempt_id),
    outcome text not null,
    -- The relay's reply, or why there is none.
    reply text not null,
    recorded_at timestamptz not null,
    constraint delivery_attempt_results_outcome check (
        outcome in ('sent', 'rejected', 'deferred', 'unknown', 'not_started')
    )
);

-- Erasing sets `courier.erasing` in its transaction, and needs privileges that deploy/roles.sql
-- does not give the service.
create function reject_change() returns trigger
language plpgsql as $$
begin
    if current_setting('courier.erasing', true) is distinct from 'yes' then
        raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
    end if;
    return coalesce(new, old);
end
$$;

create trigger delivery_attempts_append_only before update or delete on delivery_attempts
    for each row execute function reject_change();
create trigger delivery_attempts_no_truncate before truncate on delivery_attempts
    for each statement execute function reject_change();
create trigger delivery_attempt_results_append_only
    before update or delete on delivery_attempt_results
    for each row execute function reject_change();
create trigger delivery_attempt_results_no_truncate
    before truncate on delivery_attempt_results
    for each statement execute function reject_change();

-- Whether Stripe was told that an offer is delivered. A row exists once the first letter was sent.
create table deliveries (
    offer_id text primary key references financing_offers (offer_id),
    letter_id text not null references letters (letter_id),
    state text not null default 'pending',
    -- Part of the Idempotency-Key. Increases after a failure that Stripe answered, because Stripe
    -- replays a stored 500 for a day.
    key_number integer not null default 1,
    -- Stripe's last response: HTTP status, Request-Id and body.
    response_status smallint,
    response_request_id text,
    response_body json,
    note text,
    requested_at timestamptz not null,
    delivered_at timestamptz,
    constraint deliveries_state check (state in ('pending', 'delivered', 'refused')),
    constraint deliveries_delivered_has_time check (
        (state = 'delivered') = (delivered_at is not null)
    )
);

-- The sending rate, shared by all replicas: one row per relay that has a limit. The row stays
-- locked while letters are claimed.
create table relays (
    -- `smtp://host:port`, without credentials.
    relay text primary key,
    -- When the next letter may be started.
    next_send_at timestamptz not null,
    constraint relays_relay check (relay <> '')
);
