-- Sums that answer whatever amounts are kept: an amount that no financing has is `unclear` and in
-- no sum, and a sum that a bigint has no room for is the largest that it has.

create function saturated_bigint(value numeric) returns bigint
language sql immutable
as $$
    select least(greatest(value, -9223372036854775808), 9223372036854775807)::bigint
$$;

-- As before, and with a bound for the amount: ten trillion units of a currency with two decimals.
create function financing_effect(type text, reason text, total_minor bigint) returns text
language sql immutable
as $$
    select case
        when total_minor between -1000000000000000 and 1000000000000000 then financing_effect(type, reason)
        else 'unclear'
    end
$$;

create or replace view financing_ledger as
select transactions.transaction_id, transactions.account_id, transactions.offer_id, transactions.livemode, transactions.type,
    transactions.reason, transactions.currency, transactions.advance_minor, transactions.fee_minor, transactions.total_minor,
    transactions.reversed_transaction_id,
    coalesce(transactions.charge_id, transactions.linked_payment_id) as charge_id, transactions.linked_payment_id,
    transactions.treasury_transaction_id, transactions.object, transactions.created_at, transactions.first_seen_at,
    financing_effect(transactions.type, transactions.reason, transactions.total_minor) as effect,
    1 as sign,
    transactions.type = 'payment' and coalesce(transactions.reason = 'automatic_withholding', false) as is_withholding
from financing_transactions transactions
where transactions.type <> 'reversal'
union all
select transactions.transaction_id, transactions.account_id, coalesce(transactions.offer_id, reversed.offer_id),
    transactions.livemode, transactions.type, transactions.reason, transactions.currency, transactions.advance_minor,
    transactions.fee_minor, transactions.total_minor, transactions.reversed_transaction_id, transactions.charge_id,
    transactions.linked_payment_id, transactions.treasury_transaction_id, transactions.object, transactions.created_at,
    transactions.first_seen_at,
    case
        when transactions.total_minor not between -1000000000000000 and 1000000000000000 then 'unclear'
        when reversed.type is not null then financing_effect(reversed.type, reversed.reason)
        when transactions.reason in ('automatic_withholding_refund', 'collection_failure') then 'paid'
        else 'unclear'
    end as effect,
    -- Stripe's amounts have no sign. Should a reversal ever come with one, it is not turned round
    -- twice.
    case when transactions.total_minor > 0 then -1 else 1 end as sign,
    case
        when reversed.type is not null then
            reversed.type = 'payment' and coalesce(reversed.reason = 'automatic_withholding', false)
        else coalesce(transactions.reason = 'automatic_withholding_refund', false)
    end as is_withholding
from financing_transactions transactions
left join financing_transactions reversed
    on reversed.transaction_id = transactions.reversed_transaction_id
        -- Nobody undoes another account's movement; saying so keeps a report about one account to
        -- its own rows.
        and reversed.account_id = transactions.account_id
where transactions.type = 'reversal';
