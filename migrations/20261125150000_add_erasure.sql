-- What personal data there is goes before the proof does: a letter's words and its recipient, and events as they came.

alter table letters
    -- When recipient and words were taken out; the proof of what was sent is in `handovers`.
    add column erased_at timestamptz,
    drop constraint letters_sending_has_content,
    add constraint letters_sending_has_content check (
        state not in ('sending', 'sent', 'bounced', 'uncertain')
        or (erased_at is not null and state in ('sent', 'bounced'))
        or (recipient is not null and subject is not null and body_text is not null and body_html is not null
            and template_version is not null and sending_at is not null and attempt > 0)
    );

-- Erasing walks along this.
create index letters_not_erased on letters (changed_at) where erased_at is null and recipient is not null;

alter table inbox_events
    -- When the body was taken out; the id stays, so the event is known when it comes again.
    add column erased_at timestamptz;

create index inbox_events_not_erased on inbox_events (received_at) where erased_at is null;

-- Opt-outs and erasing ask for what there is of an account.
create index letters_account on letters (account_id, state);
create index inbox_events_account on inbox_events (account_id) where erased_at is null;
