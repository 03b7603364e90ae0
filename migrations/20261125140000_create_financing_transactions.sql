-- Movements of financings, as Stripe told us of each: kept once, never changed.

create table financing_transactions (
    transaction_id text primary key,
    account_id text not null,
    -- No foreign key: a transaction can be told before its offer.
    offer_id text,
    livemode boolean not null,
    -- Stripe's words, also ones that we do not know yet: `payout`, `payment`, `reversal`; and why.
    type text not null,
    reason text,
    currency text not null,
    -- Minor units of `currency`, without a sign: what they mean says `financing_ledger`.
    advance_minor bigint,
    fee_minor bigint,
    total_minor bigint not null,
    -- What a reversal undoes.
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

-- A merchant's page and a period's report read along this.
create index financing_transactions_account on financing_transactions (account_id, created_at, transaction_id);
create index financing_transactions_created on financing_transactions (created_at, transaction_id);
create index financing_transactions_offer on financing_transactions (offer_id, created_at);
create index financing_transactions_reversed on financing_transactions (reversed_transaction_id)
    where reversed_transaction_id is not null;

-- What each movement does. A type alone does not say it: a reversal undoes what it names, and where that never reached us, its
-- reason tells. `advanced` and `paid` are to be added up; what is `unclear` is counted and shown, and never guessed.
create view financing_ledger as
select transactions.*,
    case
        when transactions.type = 'payout' then 'advanced'
        when transactions.type = 'payment' then 'paid'
        when transactions.type <> 'reversal' then 'unclear'
        when reversed.type = 'payout' then 'advanced'
        when reversed.type = 'payment' then 'paid'
        when transactions.reason in ('automatic_withholding_refund', 'collection_failure') then 'paid'
        when transactions.reason = 'financing_cancellation' then 'advanced'
        else 'unclear'
    end as effect,
    case when transactions.type = 'reversal' then -1 else 1 end as sign
from financing_transactions transactions
left join financing_transactions reversed
    on reversed.transaction_id = transactions.reversed_transaction_id
        -- A reversal of a reversal is nothing that Stripe documents.
        and reversed.type <> 'reversal';

-- How far an account's transactions were read from Stripe's list, newest first.
create table transaction_backfills (
    account_id text primary key,
    -- After which transaction to go on; null at the beginning.
    after_transaction_id text,
    -- When all of them had been read last. Until then the list is read to its end, afterwards to what is known.
    completed_at timestamptz,
    -- Entries that nobody could read, over all runs: a person must look.
    unreadable integer not null default 0,
    changed_at timestamptz not null
);
