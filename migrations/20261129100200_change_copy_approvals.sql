-- Approvals can be withdrawn, and say what was approved. `email approve` of an earlier version
-- fails on this schema; the service of an earlier version ignores withdrawals.

alter table copy_approvals
    drop constraint copy_approvals_pkey,
    add column copy_approval_id bigint generated always as identity primary key,
    -- The kind of email, or `capital_section`; null in approvals of earlier versions.
    add column kind text,
    add column language text,
    add column disclaimer_variant text,
    -- Withdrawn approvals stay as evidence.
    add column withdrawn_at timestamptz,
    add column withdrawn_by text,
    add column withdrawal_reason text,
    add constraint copy_approvals_withdrawal check (
        (withdrawn_at is null) = (withdrawn_by is null)
        and (withdrawn_at is null) = (withdrawal_reason is null)
    );

-- At most one approval in force for each wording and market.
create unique index copy_approvals_in_force on copy_approvals (copy_hash, market)
    where withdrawn_at is null;

-- Only an approval in force changes, and only by its withdrawal.
create function reject_change_of_approval() returns trigger
language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.withdrawn_at is null and new.withdrawn_at is not null
        and to_jsonb(new) - '{withdrawn_at,withdrawn_by,withdrawal_reason}'::text[]
            = to_jsonb(old) - '{withdrawn_at,withdrawn_by,withdrawal_reason}'::text[]
    then
        return new;
    end if;
    raise exception 'copy_approvals: an approval can only be withdrawn, and only once'
        using errcode = 'insufficient_privilege';
end
$$;

create trigger copy_approvals_only_withdrawal before update or delete on copy_approvals
    for each row execute function reject_change_of_approval();
create trigger copy_approvals_no_truncate before truncate on copy_approvals
    for each statement execute function reject_change_of_approval();
