-- What each movement does, now also whether it is about a share of sales: such shares are what a merchant's report adds up.

create or replace view financing_ledger as
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
    -- Stripe's amounts have no sign. Should a reversal ever come with one, it is not turned round twice.
    case when transactions.type = 'reversal' and transactions.total_minor > 0 then -1 else 1 end as sign,
    case
        when transactions.type = 'payment' then coalesce(transactions.reason = 'automatic_withholding', false)
        when transactions.type <> 'reversal' then false
        when reversed.type is not null then
            reversed.type = 'payment' and coalesce(reversed.reason = 'automatic_withholding', false)
        else coalesce(transactions.reason = 'automatic_withholding_refund', false)
    end as is_withholding
from financing_transactions transactions
left join financing_transactions reversed
    on reversed.transaction_id = transactions.reversed_transaction_id
        -- Nobody undoes another account's movement; saying so keeps a report about one account to its own rows.
        and reversed.account_id = transactions.account_id
        and transactions.type = 'reversal'
        -- A reversal of a reversal is nothing that Stripe documents.
        and reversed.type <> 'reversal';
