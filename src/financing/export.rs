//! The rows about financings of an account, for `account export`. All queries are by account.

use crate::database::export_rows;

export_rows!(
    transactions,
    "
    select *
    from financing_transactions
    where account_id = any($1)
    order by created_at, transaction_id
    "
);

export_rows!(
    discounts,
    "select * from refill_discounts where account_id = any($1) order by created_at, refill_offer_id"
);

export_rows!(backfills, "select * from transaction_backfills where account_id = any($1)");

export_rows!(summaries, "select * from financing_summaries where account_id = any($1)");

export_rows!(account_locales, "select * from account_locales where account_id = any($1)");

export_rows!(
    charge_sources,
    "select * from charge_sources where account_id = any($1) order by charge_id"
);

export_rows!(
    payout_explanations,
    "select * from payout_explanations where account_id = any($1) order by arrives_on, payout_id"
);
