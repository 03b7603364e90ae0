-- The proof of what was sent: a row for each time that a letter was handed to the relay, written before its first byte leaves, and a
-- row for what the relay said. Rows are added and never changed.

create table handovers (
    handover_id bigint generated always as identity primary key,
    letter_id text not null references letters (letter_id),
    attempt integer not null,
    offer_id text not null,
    account_id text not null,
    kind text not null,
    locale text not null,
    message_id text not null,
    recipient text not null,
    subject text not null,
    -- The bytes as they went over the wire, headers and all; null once they were erased, which leaves their hash.
    message bytea,
    message_sha256 bytea not null,
    template_version text not null,
    copy_hash text,
    disclaimer_variant text,
    -- The approval of these words that held at the time; null for test data.
    approval_market text,
    approval_reference text,
    approved_by text,
    -- When it was seen that the account had not opted out and that the address was not refused: with the row itself.
    checked_at timestamptz not null,
    handed_over_at timestamptz not null,
    constraint handovers_one_for_an_attempt unique (letter_id, attempt),
    constraint handovers_hash check (octet_length(message_sha256) = 32)
);

create index handovers_offer on handovers (offer_id, handover_id);
create index handovers_account on handovers (account_id, handover_id);
create index handovers_time on handovers (handed_over_at);

create table handover_answers (
    handover_id bigint primary key references handovers (handover_id),
    outcome text not null,
    -- The relay's words, or what we know instead of them.
    answer text not null,
    answered_at timestamptz not null,
    constraint handover_answers_outcome check (outcome in ('taken', 'refused', 'deferred', 'unknown', 'never_begun'))
);

-- What is added stays as it is. Only who erases says so first, in the transaction that does it, and needs the right to delete as well:
-- deploy/roles.sql gives the service none.
create function refuse_change() returns trigger
language plpgsql as $$
begin
    if current_setting('courier.erasing', true) is distinct from 'yes' then
        raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
    end if;
    return coalesce(new, old);
end
$$;

create trigger handovers_are_kept before update or delete on handovers for each row execute function refuse_change();
create trigger handovers_stay before truncate on handovers for each statement execute function refuse_change();
create trigger handover_answers_are_kept before update or delete on handover_answers
    for each row execute function refuse_change();
create trigger handover_answers_stay before truncate on handover_answers
    for each statement execute function refuse_change();
