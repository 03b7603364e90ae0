-- What a payout to a merchant's bank was made of: it does not change once the payout is paid, so it is added up once.

create table payout_explanations (
    payout_id text primary key,
    account_id text not null,
    arrives_on date not null,
    -- The sums, in minor units of one currency, as `financing::payouts::Explanation` has them.
    explanation json not null,
    explained_at timestamptz not null
);

create index payout_explanations_account on payout_explanations (account_id, arrives_on);
