-- What each movement does, where Stripe's words contradict each other or a reversal's original is known: then neither its type nor its
-- reason alone decides. What nobody can tell is `unclear`: counted and shown, in no sum.
--
-- - A reversal does what its original says, whatever that is: one of an adjustment, or of another reversal, is unclear.
-- - Of an original that has not come, a reason tells only where it can undo but one kind: a cancellation undoes payouts and payments.
-- - A reversal that names no financing belongs to its original's.
-- - The sale that a share was withheld from has two names; either will do.

-- Which sum a movement that undoes nothing belongs to.
create function financing_effect(type text, reason text) returns text
language sql immutable
as $$
    select case
        when type = 'payout' and coalesce(reason not in (
            'automatic_withholding', 'automatic_withholding_refund', 'collection', 'collection_failure', 'financing_cancellation'
        ), true) then 'advanced'
        when type = 'payment' and coalesce(reason not in (
            'automatic_withholding_refund', 'collection_failure', 'financing_cancellation'
        ), true) then 'paid'
        else 'unclear'
    end
$$;

create or replace view financing_ledger as
select transactions.transaction_id, transactions.account_id, transactions.offer_id, transactions.livemode, transactions.type,
    transactions.reason, transactions.currency, transactions.advance_minor, transactions.fee_minor, transactions.total_minor,
    transactions.reversed_transaction_id,
    coalesce(transactions.charge_id, transactions.linked_payment_id) as charge_id, transactions.linked_payment_id,
    transactions.treasury_transaction_id, transactions.object, transactions.created_at, transactions.first_seen_at,
    financing_effect(transactions.type, transactions.reason) as effect,
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
        when reversed.type is not null then financing_effect(reversed.type, reversed.reason)
        when transactions.reason in ('automatic_withholding_refund', 'collection_failure') then 'paid'
        else 'unclear'
    end as effect,
    -- Stripe's amounts have no sign. Should a reversal ever come with one, it is not turned round twice.
    case when transactions.total_minor > 0 then -1 else 1 end as sign,
    case
        when reversed.type is not null then
            reversed.type = 'payment' and coalesce(reversed.reason = 'automatic_withholding', false)
        else coalesce(transactions.reason = 'automatic_withholding_refund', false)
    end as is_withholding
from financing_transactions transactions
left join financing_transactions reversed
    on reversed.transaction_id = transactions.reversed_transaction_id
        -- Nobody undoes another account's movement; saying so keeps a report about one account to its own rows.
        and reversed.account_id = transactions.account_id
where transactions.type = 'reversal';
