-- Sums of accounts with very many movements. They are derived from `financing_ledger`, which alone
-- says what a movement means.

-- Of such accounts only: what is before `covered_until` is in `ledger_sums`, nothing of what is
-- later. The row is locked by who changes either.
create table ledger_coverage (
    account_id text primary key,
    -- The start of a quarter of an hour in UTC; null while there are no sums.
    covered_until timestamptz
);

-- The sums of quarters of an hour, of hours and of days in UTC, of the movements and discounts with
-- the same meaning. A period that `covered_until` is in has the sums of its part before that.
create table ledger_sums (
    account_id text not null,
    -- The length of the period.
    minutes integer not null,
    begins_at timestamptz not null,
    -- As in `financing_ledger`: the offer of a reversal without one is that of its original.
    livemode boolean not null,
    currency text not null,
    offer_id text,
    effect text not null,
    is_withholding boolean not null,
    is_reversal boolean not null,
    -- The sum of the signed amounts, in minor units of `currency`. A bigint may not hold it.
    amount numeric not null,
    -- How many there are, and the times of the first and the last one.
    movements bigint not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    constraint ledger_sums_minutes check (minutes in (15, 60, 1440))
);

create index ledger_sums_account on ledger_sums (account_id, minutes, begins_at);

-- The reversals of a transaction that arrives after them.
create index financing_transactions_reversed on financing_transactions (reversed_transaction_id)
    where reversed_transaction_id is not null;

-- The start of the period of so many minutes that a moment is in. The origin is a midnight before
-- all of them.
create function ledger_period(minutes integer, at timestamptz) returns timestamptz
language sql immutable
as $$
    select date_bin(make_interval(mins => minutes), at, timestamptz '0001-01-01 00:00:00+00')
$$;

-- What an account has in `financing_ledger` from `from_at` until `until_at`, some of it added up.
-- Both are the start of a period of so many minutes, or infinite. With 0 minutes they are any
-- moment, and nothing is added up.
create function ledger_parts(
    account text, period_minutes integer, from_at timestamptz, until_at timestamptz
)
returns table (
    begins_at timestamptz, livemode boolean, currency text, offer_id text, effect text,
    is_withholding boolean, is_reversal boolean, amount numeric, movements bigint,
    first_at timestamptz, last_at timestamptz
)
-- Planned as a part of the query that calls it.
language sql stable
as $$
    select begins_at, livemode, currency, offer_id, effect, is_withholding, is_reversal, amount,
        movements, first_at, last_at
    from ledger_sums
    where account_id = account and minutes = period_minutes and begins_at >= from_at
        and begins_at < until_at
    union all
    select created_at, livemode, currency, offer_id, effect, is_withholding, type = 'reversal',
        sign * total_minor::numeric, 1::bigint, created_at, created_at
    from financing_ledger
    where account_id = account and created_at < until_at
        -- Without sums, from `from_at`.
        and created_at >= greatest(from_at, (
            select covered_until
            from ledger_coverage
            where account_id = account and period_minutes > 0
        ))
$$;

-- Adds up anew what an account has from `from_at` until `until_at`: both the start of a quarter of
-- an hour, and not after what will be `covered_until`. The caller has locked the coverage.
create function add_up_ledger(account text, from_at timestamptz, until_at timestamptz) returns void
language plpgsql
as $$
declare
    longer constant integer[] := array[60, 1440];
begin
    delete from ledger_sums
    where account_id = account and minutes = 15 and begins_at >= from_at and begins_at < until_at;
    insert into ledger_sums (
        account_id, minutes, begins_at, livemode, currency, offer_id, effect, is_withholding,
        is_reversal, amount, movements, first_at, last_at
    )
    select account, 15, ledger_period(15, created_at), livemode, currency, offer_id, effect,
        is_withholding, type = 'reversal', sum(sign * total_minor::numeric), count(*),
        min(created_at), max(created_at)
    from financing_ledger
    where account_id = account and created_at >= from_at and created_at < until_at
    group by 3, 4, 5, 6, 7, 8, 9;

    delete from ledger_sums
    where account_id = account and minutes = any(longer)
        and begins_at >= ledger_period(minutes, from_at) and begins_at < until_at;
    insert into ledger_sums (
        account_id, minutes, begins_at, livemode, currency, offer_id, effect, is_withholding,
        is_reversal, amount, movements, first_at, last_at
    )
    select account, longer_minutes, ledger_period(longer_minutes, begins_at), livemode, currency,
        offer_id, effect, is_withholding, is_reversal, sum(amount), sum(movements), min(first_at),
        max(last_at)
    from unnest(longer) as longer_minutes
    join ledger_sums on account_id = account and minutes = 15
        and begins_at >= ledger_period(longer_minutes, from_at)
        and begins_at < ledger_period(longer_minutes, until_at - interval '1 microsecond')
            + make_interval(mins => longer_minutes)
    group by 2, 3, 4, 5, 6, 7, 8, 9;
end
$$;

-- Keeps the sums true when something that they cover is stored. A trigger, because a version of
-- the service that does not know the sums may still be running.
--
-- After the insert: who extends a coverage either sees the new rows, or the statement that looks
-- for it sees the extended one. Where several accounts are locked, in one order.
create function follow_transactions() returns trigger
language plpgsql
as $$
declare
    changed record;
begin
    -- Nearly no account has sums.
    perform from ledger_coverage
    where account_id in (select account_id from added)
    order by account_id
    for update;
    if not found then
        return null;
    end if;
    for changed in
        select distinct entries.account_id, ledger_period(15, entries.created_at) as begins_at
        from (
            select account_id, created_at from added
            union all
            -- A transaction gives its reversals their meaning, and can arrive after them.
            select reversals.account_id, reversals.created_at
            from added
            join financing_transactions reversals
                on reversals.reversed_transaction_id = added.transaction_id
                    and reversals.account_id = added.account_id
        ) as entries
        join ledger_coverage on ledger_coverage.account_id = entries.account_id
            and entries.created_at < ledger_coverage.covered_until
    loop
        perform add_up_ledger(
            changed.account_id, changed.begins_at, changed.begins_at + interval '15 minutes'
        );
    end loop;
    return null;
end
$$;

create trigger financing_transactions_follow after insert on financing_transactions
    referencing new table as added for each statement execute function follow_transactions();

-- The same for a discount.
create function follow_discount() returns trigger
language plpgsql
as $$
declare
    period timestamptz := ledger_period(15, new.created_at);
begin
    perform from ledger_coverage where account_id = new.account_id for update;
    if exists (
        select from ledger_coverage
        where account_id = new.account_id and new.created_at < covered_until
    ) then
        perform add_up_ledger(new.account_id, period, period + interval '15 minutes');
    end if;
    return null;
end
$$;

create trigger refill_discounts_follow after insert on refill_discounts
    for each row execute function follow_discount();
