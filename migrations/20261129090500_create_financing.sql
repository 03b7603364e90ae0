-- Financings: every movement, what it means, and what Stripe says about accounts and payouts.

-- Movements as Stripe sent them: each is stored once and never changed.
create table financing_transactions (
    transaction_id text primary key,
    account_id text not null,
    -- No foreign key: a transaction can arrive before its offer.
    offer_id text,
    livemode boolean not null,
    -- Stripe's terms, including unknown ones: `payout`, `payment`, `reversal`; and the reason.
    type text not null,
    reason text,
    currency text not null,
    -- Minor units of `currency`, unsigned: `financing_ledger` gives them their meaning.
    advance_minor bigint,
    fee_minor bigint,
    total_minor bigint not null,
    -- The transaction that a reversal reverses.
    reversed_transaction_id text,
    -- The charge on the connected account that a share was withheld from.
    charge_id text,
    linked_payment_id text,
    treasury_transaction_id text,
    -- The whole object as Stripe sent it.
    object json not null,
    created_at timestamptz not null,
    first_seen_at timestamptz not null
);

-- A merchant's page and a period's report read in this order.
create index financing_transactions_account on financing_transactions
    (account_id, created_at, transaction_id);
create index financing_transactions_created on financing_transactions (created_at, transaction_id);
-- Reconciliation looks for offers that were canceled after they were paid out.
create index financing_transactions_cancellations on financing_transactions (offer_id, created_at)
    where type = 'reversal' and reason = 'financing_cancellation';
-- Covers the sums of an account.
create index financing_transactions_sums on financing_transactions
    (account_id, created_at, transaction_id)
    include (type, reason, currency, total_minor, offer_id, livemode) where type <> 'reversal';
create index financing_transactions_reversals on financing_transactions
    (account_id, created_at, transaction_id) where type = 'reversal';

-- A sum that a bigint cannot hold becomes the largest that it can.
create function saturated_bigint(value numeric) returns bigint
language sql immutable
as $$
    select least(greatest(value, -9223372036854775808), 9223372036854775807)::bigint
$$;

-- The sum that a payout or a payment belongs to. `unclear` where Stripe's type and reason
-- contradict each other: it is counted and shown, and in no sum.
create function financing_effect(type text, reason text) returns text
language sql immutable
as $$
    select case
        when type = 'payout' and coalesce(reason not in (
            'automatic_withholding', 'automatic_withholding_refund', 'collection',
            'collection_failure', 'financing_cancellation'
        ), true) then 'advanced'
        when type = 'payment' and coalesce(reason not in (
            'automatic_withholding_refund', 'collection_failure', 'financing_cancellation'
        ), true) then 'paid'
        else 'unclear'
    end
$$;

-- The same, with a bound for the amount: ten trillion units of a currency with two decimals.
create function financing_effect(type text, reason text, total_minor bigint) returns text
language sql immutable
as $$
    select case
        when total_minor between -1000000000000000 and 1000000000000000
            then financing_effect(type, reason)
        else 'unclear'
    end
$$;

-- What each movement means: `effect` is the sum that it belongs to, `sign` its direction. Two
-- halves, because only a reversal needs another row: the sums of an account with fifty thousand
-- movements take a fifth of the time.
--
-- A reversal has the effect of its original; of an adjustment or of another reversal it is
-- `unclear`. Without the original, a reason decides if it can only reverse one kind: a
-- cancellation reverses payouts and payments. A reversal without an offer belongs to its
-- original's offer.
create view financing_ledger as
select transactions.transaction_id, transactions.account_id, transactions.offer_id,
    transactions.livemode, transactions.type, transactions.reason, transactions.currency,
    transactions.advance_minor, transactions.fee_minor, transactions.total_minor,
    transactions.reversed_transaction_id,
    -- The sale that a share was withheld from has two names; either will do.
    coalesce(transactions.charge_id, transactions.linked_payment_id) as charge_id,
    transactions.linked_payment_id, transactions.treasury_transaction_id, transactions.object,
    transactions.created_at, transactions.first_seen_at,
    financing_effect(transactions.type, transactions.reason, transactions.total_minor) as effect,
    1 as sign,
    transactions.type = 'payment'
        and coalesce(transactions.reason = 'automatic_withholding', false) as is_withholding
from financing_transactions transactions
where transactions.type <> 'reversal'
union all
select transactions.transaction_id, transactions.account_id,
    coalesce(transactions.offer_id, reversed.offer_id), transactions.livemode, transactions.type,
    transactions.reason, transactions.currency, transactions.advance_minor,
    transactions.fee_minor, transactions.total_minor, transactions.reversed_transaction_id,
    transactions.charge_id, transactions.linked_payment_id,
    transactions.treasury_transaction_id, transactions.object, transactions.created_at,
    transactions.first_seen_at,
    case
        when transactions.total_minor not between -1000000000000000 and 1000000000000000
            then 'unclear'
        when reversed.type is not null then financing_effect(reversed.type, reversed.reason)
        when transactions.reason in ('automatic_withholding_refund', 'collection_failure')
            then 'paid'
        else 'unclear'
    end as effect,
    -- Stripe's amounts are unsigned. A reversal with a negative amount would not be negated twice.
    case when transactions.total_minor > 0 then -1 else 1 end as sign,
    case
        when reversed.type is not null then
            reversed.type = 'payment'
                and coalesce(reversed.reason = 'automatic_withholding', false)
        else coalesce(transactions.reason = 'automatic_withholding_refund', false)
    end as is_withholding
from financing_transactions transactions
left join financing_transactions reversed
    on reversed.transaction_id = transactions.reversed_transaction_id
        -- Keeps a report about one account to that account's rows.
        and reversed.account_id = transactions.account_id
where transactions.type = 'reversal';

-- How far each account's list of transactions was read from Stripe, newest first. A pass begins at
-- the top of the list; it does not see what is added above it.
create table transaction_backfills (
    account_id text primary key,
    -- The mode that was read: an account has a list in each.
    livemode boolean,
    -- When the first page of the current pass was requested; null between passes.
    started_at timestamptz,
    -- The transaction to continue after; null at the beginning.
    after_transaction_id text,
    -- The pass reads to the end of the list, past what earlier passes saw.
    is_full boolean not null default false,
    -- Entries that the current pass could not read or store.
    skipped integer not null default 0,
    -- When a full pass was requested; null once one has begun.
    full_pass_requested_at timestamptz,
    -- When the last pass began that skipped nothing. Before the first one, the list is read to its
    -- end; afterwards, to what is known.
    completed_at timestamptz,
    -- Entries that the last finished pass skipped.
    unreadable integer not null default 0,
    changed_at timestamptz not null,
    constraint transaction_backfills_pass check (
        started_at is not null or (skipped = 0 and not is_full)
    )
);

-- Summed up by the metrics.
create index transaction_backfills_unreadable on transaction_backfills (account_id)
    include (unreadable) where unreadable > 0;

-- Stripe's last summary of each account, and how our sums differ from it.
create table financing_summaries (
    account_id text primary key,
    -- The mode that it was requested in; null if unknown.
    livemode boolean,
    -- The whole object as Stripe sent it.
    object json not null,
    -- When it was requested. A younger timeline entry of the account makes it stale.
    as_of timestamptz not null,
    -- Ours minus Stripe's for what was paid out, paid back and remains, in minor units; null if
    -- they agree. One that keeps changing is events in transit; one that stays is a missing
    -- transaction.
    difference text,
    -- Since when there is a difference, and since when it is this one.
    differs_since timestamptz,
    difference_since timestamptz
);

create index financing_summaries_differing on financing_summaries (differs_since)
    where differs_since is not null;

-- The country and time zone of each account, for when Stripe cannot be asked.
create table account_locales (
    account_id text primary key,
    -- Two letters; null if Stripe does not say.
    country text,
    -- A name of the IANA database.
    time_zone text not null,
    fetched_at timestamptz not null
);

-- The platform's charge behind each charge on an account. It never changes, so Stripe is asked
-- once.
create table charge_sources (
    account_id text not null,
    -- `py_…` or `ch_…` on the account.
    charge_id text not null,
    -- Null if the charge was made on the account itself.
    transfer_id text,
    source_charge_id text,
    fetched_at timestamptz not null,
    primary key (account_id, charge_id)
);

-- What a payout to a merchant's bank consists of. It does not change once the payout is paid.
create table payout_explanations (
    payout_id text primary key,
    account_id text not null,
    arrives_on date not null,
    -- As `financing::payouts::Explanation`, in minor units.
    explanation json not null,
    explained_at timestamptz not null
);
