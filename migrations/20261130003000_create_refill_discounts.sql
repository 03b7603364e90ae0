-- The discount that a refill gives on the fee of the financing before it. No transaction at Stripe
-- reports it, only the refill's accepted terms, once the earlier financing is over.
create table refill_discounts (
    refill_offer_id text primary key,
    account_id text not null,
    livemode boolean not null,
    -- The financing whose fee it lowers.
    offer_id text not null,
    currency text not null,
    -- Minor units of `currency`.
    discount_minor bigint not null,
    -- From when it counts: the later of the refill's payout and the earlier financing's last
    -- transaction.
    created_at timestamptz not null,
    recorded_at timestamptz not null,
    constraint refill_discounts_amount check (discount_minor > 0),
    constraint refill_discounts_of_another check (offer_id <> refill_offer_id)
);

create index refill_discounts_account on refill_discounts (account_id, created_at, refill_offer_id);

-- Unchanged but for the third part, and the last column: the refill of a discount. A discount has
-- no transaction: its id in this list is that of the refill's offer.
create or replace view financing_ledger as
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
        and coalesce(transactions.reason = 'automatic_withholding', false) as is_withholding,
    null::text as refill_offer_id
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
    end as is_withholding,
    null::text
from financing_transactions transactions
left join financing_transactions reversed
    on reversed.transaction_id = transactions.reversed_transaction_id
        -- Keeps a report about one account to that account's rows.
        and reversed.account_id = transactions.account_id
where transactions.type = 'reversal'
union all
select refill_offer_id, account_id, offer_id, livemode, 'discount', null::text, currency,
    0::bigint, discount_minor, discount_minor, null::text, null::text, null::text, null::text,
    null::json, created_at, recorded_at, 'discounted', 1, false, refill_offer_id
from refill_discounts;
