//! Records financing transactions. A transaction never changes, so each is stored once, by its id.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::offers::stale::Cancellation;
use crate::stripe::{FinancingTransaction, OfferId, Reason, TransactionId};

/// A transaction received from Stripe.
#[derive(Clone, Copy, Debug)]
pub struct ObservedTransaction<'a> {
    pub transaction: &'a FinancingTransaction,
    /// The complete JSON object, which is stored with it.
    pub object: &'a str,
}

/// A stored transaction, as an operator finds it.
#[derive(Clone, Debug)]
pub struct FoundTransaction {
    pub account_id: String,
    pub offer_id: Option<String>,
    /// `payout`, `payment`, …
    pub r#type: String,
    pub currency: String,
    pub total_minor: i64,
    pub created_at: DateTime<Utc>,
}

pub async fn find(
    db: impl PgExecutor<'_>,
    transaction_id: &str,
) -> sqlx::Result<Option<FoundTransaction>> {
    sqlx::query_as!(
        FoundTransaction,
        "
        select account_id, offer_id, type, currency, total_minor, created_at
        from financing_transactions
        where transaction_id = $1
        ",
        transaction_id,
    )
    .fetch_optional(db)
    .await
}

/// Whether a transaction was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Inserted,
    Duplicate,
}

/// Stores transactions in the caller's database transaction, with one statement and in the order of
/// their ids, so that concurrent writers cannot deadlock. Says of each in turn whether it was new; a
/// second one with the same id changes nothing.
pub async fn record_all(
    tx: &mut PgConnection,
    all: &[ObservedTransaction<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Recorded>> {
    let mut first: BTreeMap<&TransactionId, &ObservedTransaction<'_>> = BTreeMap::new();
    for one in all {
        first.entry(&one.transaction.id).or_insert(one);
    }
    let mut added = insert_all(tx, first.into_values(), now).await?;
    let recorded = all.iter().map(|one| {
        if added.remove(one.transaction.id.as_str()) {
            Recorded::Inserted
        } else {
            Recorded::Duplicate
        }
    });
    Ok(recorded.collect())
}

/// The columns of transactions, one array each.
#[derive(Default)]
struct Columns {
    transaction_id: Vec<String>,
    account_id: Vec<String>,
    offer_id: Vec<Option<String>>,
    livemode: Vec<bool>,
    r#type: Vec<String>,
    reason: Vec<Option<String>>,
    currency: Vec<String>,
    advance_minor: Vec<Option<i64>>,
    fee_minor: Vec<Option<i64>>,
    total_minor: Vec<i64>,
    reversed: Vec<Option<String>>,
    charge_id: Vec<Option<String>>,
    linked_payment: Vec<Option<String>>,
    treasury: Vec<Option<String>>,
    object: Vec<String>,
    created_at: Vec<DateTime<Utc>>,
}

impl Columns {
    fn add(&mut self, new: &ObservedTransaction<'_>) {
        let transaction = new.transaction;
        let details = &transaction.details;
        let moved_by = details.transaction.as_ref();
        self.transaction_id.push(transaction.id.to_string());
        self.account_id.push(transaction.account.to_string());
        self.offer_id.push(transaction.financing_offer.as_ref().map(OfferId::to_string));
        self.livemode.push(transaction.livemode);
        self.r#type.push(transaction.type_.to_string());
        self.reason.push(details.reason.as_ref().map(Reason::to_string));
        self.currency.push(details.currency.to_lowercase());
        self.advance_minor.push(details.advance_amount);
        self.fee_minor.push(details.fee_amount);
        self.total_minor.push(details.total_amount);
        let reversed = details.reversed_transaction.as_ref();
        self.reversed.push(reversed.map(TransactionId::to_string));
        self.charge_id.push(moved_by.and_then(|by| by.charge.clone()));
        self.linked_payment.push(details.linked_payment.clone());
        self.treasury.push(moved_by.and_then(|by| by.treasury_transaction.clone()));
        self.object.push(new.object.to_owned());
        self.created_at.push(transaction.created_at);
    }
}

/// Inserts transactions, sorted by id. Returns the ids of those that were not stored before.
async fn insert_all<'a>(
    tx: &mut PgConnection,
    sorted: impl Iterator<Item = &'a ObservedTransaction<'a>>,
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    let mut columns = Columns::default();
    for new in sorted {
        columns.add(new);
    }
    if columns.transaction_id.is_empty() {
        return Ok(HashSet::new());
    }
    let added = sqlx::query_scalar!(
        "
        insert into financing_transactions (
            transaction_id, account_id, offer_id, livemode, type, reason, currency, advance_minor,
            fee_minor, total_minor, reversed_transaction_id, charge_id, linked_payment_id,
            treasury_transaction_id, object, created_at, first_seen_at
        )
        select transaction_id, account_id, offer_id, livemode, type, reason, currency,
            advance_minor, fee_minor, total_minor, reversed_transaction_id, charge_id,
            linked_payment_id, treasury_transaction_id, object::json, created_at, $17
        from unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::text[],
            $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[],
            $13::text[], $14::text[], $15::text[], $16::timestamptz[]) with ordinality as new (
            transaction_id, account_id, offer_id, livemode, type, reason, currency, advance_minor,
            fee_minor, total_minor, reversed_transaction_id, charge_id, linked_payment_id,
            treasury_transaction_id, object, created_at, position
        )
        order by position
        on conflict (transaction_id) do nothing
        returning transaction_id
        ",
        &columns.transaction_id,
        &columns.account_id,
        &columns.offer_id as &[Option<String>],
        &columns.livemode,
        &columns.r#type,
        &columns.reason as &[Option<String>],
        &columns.currency,
        &columns.advance_minor as &[Option<i64>],
        &columns.fee_minor as &[Option<i64>],
        &columns.total_minor,
        &columns.reversed as &[Option<String>],
        &columns.charge_id as &[Option<String>],
        &columns.linked_payment as &[Option<String>],
        &columns.treasury as &[Option<String>],
        &columns.object,
        &columns.created_at,
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(added.into_iter().collect())
}

/// Those of the reversals that undo a payout: each with the financing's offer.
pub async fn reversed_payouts(
    tx: &mut PgConnection,
    reversal_ids: &[String],
) -> sqlx::Result<Vec<(String, String)>> {
    let undone = sqlx::query!(
        r#"
        select transaction_id as "transaction_id!", offer_id as "offer_id!"
        from financing_ledger
        where transaction_id = any($1) and type = 'reversal' and effect = 'advanced'
            and offer_id is not null
        "#,
        reversal_ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(undone.into_iter().map(|row| (row.transaction_id, row.offer_id)).collect())
}

/// The latest reversal of each financing that was canceled.
pub async fn cancellations(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Cancellation>> {
    // The partial index `financing_transactions_cancellations` has these rows in this order.
    sqlx::query_as!(
        Cancellation,
        r#"
        select offer_id as "offer_id!", max(created_at) as "canceled_at!"
        from financing_transactions
        where type = 'reversal' and reason = 'financing_cancellation' and offer_id is not null
        group by offer_id
        "#
    )
    .fetch_all(db)
    .await
}

/// Whether the ledger, the summaries, the backfills or the locales have a row of the account.
pub async fn knows_account(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (select from account_locales where account_id = $1)
            or exists (select from financing_transactions where account_id = $1)
            or exists (select from financing_summaries where account_id = $1)
            or exists (select from transaction_backfills where account_id = $1)
        as "exists!"
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}
