-- A connected account has the same id in test mode and in live mode, and a database can have seen both: what is added up or shown is
-- that of one mode alone.

-- Which mode the summary was asked for in; null: nobody knows, and it is asked for again.
alter table financing_summaries add column livemode boolean;

-- Built under another name, so that reports have the old one meanwhile.
create index financing_transactions_onward on financing_transactions (account_id, created_at, transaction_id)
    include (type, reason, currency, total_minor, offer_id, livemode) where type <> 'reversal';
drop index financing_transactions_forward;
alter index financing_transactions_onward rename to financing_transactions_forward;
