-- Letters: one email about one offer, from the intent to the relay's answer, with what it said.

create table letters (
    letter_id text primary key,
    offer_id text not null references financing_offers (offer_id),
    account_id text not null,
    kind text not null,
    state text not null default 'waiting',
    -- Why the state is what it is: `no_recipient`, `offer_accepted`, … Null while all is well.
    reason text,
    -- Fixed before the first try and never changed, so that a letter sent twice is one letter to a mail reader.
    message_id text not null unique,
    -- Tries at handing it to the relay, counted from 1.
    attempt integer not null default 0,
    -- What is being sent, or was: written before the relay sees the first byte.
    recipient text,
    locale text,
    template_version text,
    subject text,
    body_text text,
    body_html text,
    -- The relay's last answer, as it said it.
    relay_answer text,
    opened_at timestamptz not null,
    -- The start of the last try.
    sending_at timestamptz,
    -- The relay's 2xx.
    sent_at timestamptz,
    changed_at timestamptz not null,
    -- One letter of a kind for an offer. Two events for one change cannot make two letters.
    constraint letters_one_of_a_kind unique (offer_id, kind),
    constraint letters_state check (state in (
        'waiting', 'sending', 'sent', 'rejected', 'uncertain', 'withdrawn', 'suppressed', 'held', 'bounced'
    )),
    -- The state and the timestamp must tell the same story.
    constraint letters_sent_has_time check ((state in ('sent', 'bounced')) = (sent_at is not null)),
    constraint letters_sending_has_content check (
        state not in ('sending', 'sent', 'bounced', 'uncertain')
        or (recipient is not null and subject is not null and body_text is not null and body_html is not null
            and template_version is not null and sending_at is not null and attempt > 0)
    ),
    constraint letters_end_has_reason check (
        state not in ('rejected', 'withdrawn', 'suppressed', 'held') or reason is not null
    )
);

create index letters_state_changed on letters (state, changed_at);

-- The promise that Stripe is told, and its proof.
create table deliveries (
    offer_id text primary key references financing_offers (offer_id),
    letter_id text not null references letters (letter_id),
    state text not null default 'owed',
    -- Part of the Idempotency-Key. It grows after an answered failure, because Stripe replays a stored 500 for a day.
    key_number integer not null default 1,
    -- Stripe's last answer: its HTTP status, its Request-Id and its body.
    answer_status smallint,
    answer_request_id text,
    answer_body json,
    note text,
    owed_at timestamptz not null,
    delivered_at timestamptz,
    constraint deliveries_state check (state in ('owed', 'delivered', 'refused')),
    constraint deliveries_delivered_has_time check ((state = 'delivered') = (delivered_at is not null))
);

create index deliveries_state on deliveries (state, owed_at);
