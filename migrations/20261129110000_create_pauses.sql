-- Pauses of sending: while one is in force, no letter in its scope begins to leave.

create table pauses (
    pause_id bigint generated always as identity primary key,
    -- Two letters, as Stripe names markets; null for every market.
    market text,
    -- The kind of email, as in `letters.kind`; null for every kind.
    kind text,
    reason text not null,
    paused_by text not null,
    paused_at timestamptz not null,
    -- Pauses that ended stay as a record.
    ended_at timestamptz,
    ended_by text,
    end_reason text,
    constraint pauses_end check (
        (ended_at is null) = (ended_by is null) and (ended_at is null) = (end_reason is null)
    )
);

-- At most one pause in force for each scope. Read before every letter.
create unique index pauses_in_force on pauses (coalesce(market, ''), coalesce(kind, ''))
    where ended_at is null;
