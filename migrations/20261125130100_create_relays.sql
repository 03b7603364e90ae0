-- What a relay takes is shared by all processes.

-- A row for each relay that has a limit. Whoever claims letters holds it while it does.
create table relays (
    -- `smtp://host:port`, without user and password.
    relay text primary key,
    -- When the next letter may be begun.
    next_at timestamptz not null,
    constraint relays_relay check (relay <> '')
);
