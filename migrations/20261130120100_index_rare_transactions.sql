-- What is rare among very many withheld shares of sales is found without them.

-- When each of an account's financings was paid out; and its payouts as a list.
create index financing_transactions_payouts on financing_transactions
    (account_id, created_at, transaction_id) include (offer_id, livemode) where type = 'payout';
-- The list without sales.
create index financing_transactions_others on financing_transactions
    (account_id, created_at, transaction_id)
    where coalesce(reason, '') not in ('automatic_withholding', 'automatic_withholding_refund');
