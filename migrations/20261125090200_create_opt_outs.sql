-- Accounts that want no letters about Capital.

create table opt_outs (
    account_id text primary key,
    -- Who said so: `operator`; links and interfaces are still to come.
    source text not null,
    note text,
    opted_out_at timestamptz not null
);
