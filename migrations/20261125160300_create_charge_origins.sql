-- The charge on the platform that a destination charge on an account came from: it never changes, so it is asked for once.

create table charge_origins (
    account_id text not null,
    -- `py_…` or `ch_…` on the account.
    charge_id text not null,
    -- Null where the charge was made on the account itself.
    transfer_id text,
    source_charge_id text,
    learned_at timestamptz not null,
    primary key (account_id, charge_id)
);
