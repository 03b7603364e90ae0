-- What operators did, by the console or the command line. Append-only.

create table operator_actions (
    action_id bigint generated always as identity primary key,
    acted_at timestamptz not null,
    -- The name of the person, as the channel knows it.
    operator text not null,
    channel text not null,
    -- `letter.resend`, `opt_out.add`, …
    action text not null,
    -- What was acted on: `offer:financingoffer_…`, `job:12`, …
    subject text not null,
    offer_id text,
    account_id text,
    -- Null if the operator gave none, which only the command line allows.
    reason text,
    -- What came of it, such as `queued`.
    outcome text not null,
    constraint operator_actions_channel check (channel in ('console', 'command_line'))
);

create index operator_actions_offer on operator_actions (offer_id) where offer_id is not null;
create index operator_actions_account on operator_actions (account_id) where account_id is not null;
create index operator_actions_dismissals on operator_actions (acted_at, subject)
    where action = 'attention.dismiss';

create trigger operator_actions_append_only before update or delete on operator_actions
    for each row execute function reject_change();
create trigger operator_actions_no_truncate before truncate on operator_actions
    for each statement execute function reject_change();
