-- What each movement does, now also whether it is about a share of sales: such shares are what a merchant's report adds up.
-- In two halves, because only a reversal has to look for another row: the sums over an account's fifty thousand movements take a fifth
-- of the time that way.

create or replace view financing_ledger as
select transactions.*,
    case transactions.type when 'payout' then 'advanced' when 'payment' then 'paid' else 'unclear' end as effect,
    1 as sign,
    transactions.type = 'payment' and coalesce(transactions.reason = 'automatic_withholding', false) as is_withholding
from financing_transactions transactions
where transactions.type <> 'reversal'
union all
select transactions.*,
    case
        when reversed.type = 'payout' then 'advanced'
        when reversed.type = 'payment' then 'paid'
        when transactions.reason in ('automatic_withholding_refund', 'collection_failure') then 'paid'
        when transactions.reason = 'financing_cancellation' then 'advanced'
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
        -- A reversal of a reversal is nothing that Stripe documents.
        and reversed.type <> 'reversal'
where transactions.type = 'reversal';

-- All that the sums of an account need, without a look at the rows themselves.
create index financing_transactions_forward on financing_transactions (account_id, created_at, transaction_id)
    include (type, reason, currency, total_minor, offer_id) where type <> 'reversal';
create index financing_transactions_backward on financing_transactions (account_id, created_at, transaction_id)
    where type = 'reversal';
