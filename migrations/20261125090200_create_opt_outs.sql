-- Accounts that want no letters about Capital. A row stays when it ends: who opted out when must be shown for years.

create table opt_outs (
    opt_out_id bigint generated always as identity primary key,
    account_id text not null,
    -- Who said so: `operator`, `link` (the page), `one_click` (a mail program, RFC 8058).
    source text not null,
    note text,
    opted_out_at timestamptz not null,
    -- Since when it holds no longer, and who said so.
    ended_at timestamptz,
    ended_by text,
    constraint opt_outs_source check (source in ('operator', 'link', 'one_click')),
    constraint opt_outs_end_has_source check ((ended_at is null) = (ended_by is null))
);

create unique index opt_outs_one_at_a_time on opt_outs (account_id) where ended_at is null;
