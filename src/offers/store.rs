//! Queries on `financing_offers`. Functions that take `tx` run in the caller's transaction.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

pub use super::account_offer::{AccountOffer, Terms, given_fee_discount};
use crate::database::{Cursor, export_rows};
use crate::stripe::{OfferId, OfferStatus};

/// A stored offer, locked until the transaction ends.
#[derive(Debug)]
pub struct LockedOffer {
    pub status: OfferStatus,
    pub object_as_of: DateTime<Utc>,
}

/// Reads an offer and locks it for an update. Readers of foreign keys are not blocked.
pub async fn lock(tx: &mut PgConnection, offer_id: &str) -> sqlx::Result<Option<LockedOffer>> {
    sqlx::query_as!(
        LockedOffer,
        "
        select status, object_as_of
        from financing_offers
        where offer_id = $1
        for no key update
        ",
        offer_id,
    )
    .fetch_optional(tx)
    .await
}

/// Identifies the stored snapshot of an offer; none if the offer is not stored. While it is
/// unchanged, no newer snapshot has been stored.
pub type Version = Option<(String, DateTime<Utc>)>;

pub async fn find_version(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Version> {
    let found = sqlx::query!(
        "select status, object_as_of from financing_offers where offer_id = $1",
        offer_id
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| (row.status, row.object_as_of)))
}

/// The version, locked until the transaction ends.
pub async fn lock_version(tx: &mut PgConnection, offer_id: &str) -> sqlx::Result<Version> {
    Ok(lock(tx, offer_id).await?.map(|offer| (offer.status.to_string(), offer.object_as_of)))
}

/// The account's canceled offers.
pub async fn canceled(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select offer_id from financing_offers where account_id = $1 and status = 'canceled'",
        account_id,
    )
    .fetch_all(db)
    .await
}

/// Whether an offer of the account is accepted or paid out, in one mode or, for none, in both.
pub async fn has_running_financing(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from financing_offers
            where account_id = $1 and status in ('accepted', 'paid_out')
                and ($2::boolean is null or livemode = $2)
        ) as "exists!"
        "#,
        account_id,
        livemode,
    )
    .fetch_one(db)
    .await
}

/// The columns of an offer that the command line shows.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OfferListing {
    /// `financingoffer_…`
    pub offer_id: String,
    /// `acct_…`
    pub account_id: String,
    pub status: String,
    pub livemode: bool,
    /// ISO 4217 code, lower case.
    pub currency: Option<String>,
    /// In minor units.
    pub advance_minor: Option<i64>,
    /// In minor units.
    pub fee_minor: Option<i64>,
    pub created_at: DateTime<Utc>,
    /// The merchant cannot apply after this.
    pub expires_at: Option<DateTime<Utc>>,
    /// The offer that this one replaced.
    pub replacement_for_offer_id: Option<String>,
}

/// Selects listings by a condition.
macro_rules! select_listings {
    ($condition:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            OfferListing,
            "
            select offer_id, account_id, status, livemode, currency, advance_minor, fee_minor,
                created_at, expires_at, replacement_for_offer_id
            from financing_offers
            where "
                + $condition,
            $($argument),+
        )
    };
}

/// Offers, newest first, with any status or the given one.
pub async fn list(
    db: impl PgExecutor<'_>,
    status: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<OfferListing>> {
    select_listings!(
        "$1::text is null or status = $1 order by created_at desc, offer_id desc limit $2",
        status,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The variant of the disclaimer of each of these offers that has one.
pub async fn disclaimer_variants(
    db: impl PgExecutor<'_>,
    offer_ids: &[String],
) -> sqlx::Result<HashMap<String, String>> {
    let variants = sqlx::query!(
        r#"
        select offer_id, disclaimer_variant as "disclaimer_variant!"
        from financing_offers
        where offer_id = any($1) and disclaimer_variant is not null
        "#,
        offer_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(variants.into_iter().map(|row| (row.offer_id, row.disclaimer_variant)).collect())
}

/// Counts the offers by status, among those that Stripe created at or after `since`.
pub async fn count_created_since(
    db: impl PgExecutor<'_>,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<(String, i64)>> {
    let counts = sqlx::query!(
        r#"
        select status, count(*) as "offers!"
        from financing_offers
        where created_at >= $1
        group by status
        "#,
        since,
    )
    .fetch_all(db)
    .await?;
    Ok(counts.into_iter().map(|row| (row.status, row.offers)).collect())
}

/// Those of the offers that a merchant can still apply for after `now`.
pub async fn open_among(
    db: impl PgExecutor<'_>,
    offer_ids: &[String],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    let open = sqlx::query_scalar!(
        "
        select offer_id
        from financing_offers
        where offer_id = any($1) and status in ('undelivered', 'delivered')
            and (expires_at is null or expires_at > $2)
        ",
        offer_ids,
        now,
    )
    .fetch_all(db)
    .await?;
    Ok(open.into_iter().collect())
}

pub async fn find(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Option<OfferListing>> {
    select_listings!("offer_id = $1", offer_id).fetch_optional(db).await
}

/// All offers of an account, newest first.
pub async fn list_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Vec<OfferListing>> {
    select_listings!("account_id = $1 order by created_at desc, offer_id desc", account_id)
        .fetch_all(db)
        .await
}

/// Selects a page of an account's offers.
#[derive(Clone, Copy, Debug)]
pub struct AccountPage<'a> {
    /// Only offers older than this one.
    pub after: Option<&'a Cursor<OfferId>>,
    /// Only offers of this mode; `None` for both.
    pub livemode: Option<bool>,
    pub limit: i64,
}

/// Selects [`AccountOffer`]s that match a condition.
macro_rules! select_account_offers {
    ($condition:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            AccountOffer,
            "
            select offer_id, status, livemode, financing_type, product_type, campaign_type,
                disclaimer_variant, currency, advance_minor, fee_minor, withhold_rate, object,
                created_at, expires_at, charged_off_at, replacement_offer_id,
                replacement_for_offer_id
            from financing_offers
            where "
                + $condition,
            $($argument),+
        )
    };
}

/// A page of an account's offers, newest first.
pub async fn of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
    page: &AccountPage<'_>,
) -> sqlx::Result<Vec<AccountOffer>> {
    select_account_offers!(
        "
        account_id = $1 and ($5::boolean is null or livemode = $5)
            and (created_at, offer_id)
                < (coalesce($2, 'infinity'::timestamptz), coalesce($3, ''))
        order by created_at desc, offer_id desc
        limit $4
        ",
        account_id,
        page.after.map(|cursor| cursor.created_at),
        page.after.map(|cursor| cursor.id.as_str()),
        page.limit,
        page.livemode,
    )
    .fetch_all(db)
    .await
}

/// The newest offers of an account that are open, applied for or paid out, newest first.
pub async fn current_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    limit: i64,
) -> sqlx::Result<Vec<AccountOffer>> {
    select_account_offers!(
        "
        account_id = $1 and ($2::boolean is null or livemode = $2)
            and status in ('undelivered', 'delivered', 'accepted', 'paid_out')
        order by created_at desc, offer_id desc
        limit $3
        ",
        account_id,
        livemode,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The refills of an account that were paid out and not canceled, oldest first.
pub async fn refills_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<Vec<AccountOffer>> {
    select_account_offers!(
        "
        account_id = $1 and ($2::boolean is null or livemode = $2) and product_type = 'refill'
            and status in ('paid_out', 'fully_repaid', 'completed')
        order by created_at, offer_id
        ",
        account_id,
        livemode,
    )
    .fetch_all(db)
    .await
}

/// The undelivered offers that a merchant can apply for after `now`: account and id, in this order.
pub async fn list_undelivered(
    db: impl PgExecutor<'_>,
    livemode: Option<bool>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(String, String)>> {
    let offers = sqlx::query!(
        "
        select account_id, offer_id
        from financing_offers
        where status = 'undelivered' and ($1::boolean is null or livemode = $1)
            and (expires_at is null or expires_at > $2)
        order by account_id, offer_id
        ",
        livemode,
        now,
    )
    .fetch_all(db)
    .await?;
    Ok(offers.into_iter().map(|row| (row.account_id, row.offer_id)).collect())
}

/// A page of delivered offers, in the order of their ids.
#[derive(Clone, Copy, Debug)]
pub struct DeliveredPage<'a> {
    /// Exclusive.
    pub after: &'a str,
    /// Only offers of this mode; `None` for both.
    pub livemode: Option<bool>,
    /// Only offers that the merchant can still apply for after this.
    pub ends_after: DateTime<Utc>,
    pub limit: i64,
}

pub async fn list_delivered(
    db: impl PgExecutor<'_>,
    page: &DeliveredPage<'_>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "
        select offer_id
        from financing_offers
        where status = 'delivered' and offer_id > $1 and expires_at > $3
            and ($2::boolean is null or livemode = $2)
        order by offer_id
        limit $4
        ",
        page.after,
        page.livemode,
        page.ends_after,
        page.limit,
    )
    .fetch_all(db)
    .await
}

/// An offer of the account; `None` if it is unknown or another account's.
pub async fn find_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
    offer_id: &str,
) -> sqlx::Result<Option<AccountOffer>> {
    select_account_offers!("account_id = $1 and offer_id = $2", account_id, offer_id)
        .fetch_optional(db)
        .await
}

/// The status, locked for an update until the transaction ends; none if the offer is not stored.
pub async fn lock_status(
    tx: &mut PgConnection,
    offer_id: &str,
) -> sqlx::Result<Option<OfferStatus>> {
    Ok(lock(tx, offer_id).await?.map(|offer| offer.status))
}

/// Whether an offer exists and belongs to an account.
pub async fn belongs_to(
    db: impl PgExecutor<'_>,
    account_id: &str,
    offer_id: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (select from financing_offers where offer_id = $2 and account_id = $1)
            as "belongs!"
        "#,
        account_id,
        offer_id,
    )
    .fetch_one(db)
    .await
}

/// Whether the account has an offer.
pub async fn knows_account(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from financing_offers where account_id = $1) as "exists!""#,
        account_id,
    )
    .fetch_one(db)
    .await
}

/// The number of offers in each of these statuses, each counted up to `limit` along an index.
pub async fn count_by_status(
    db: impl PgExecutor<'_>,
    statuses: &[&str],
    limit: i64,
) -> sqlx::Result<Vec<(String, i64)>> {
    let statuses: Vec<String> = statuses.iter().map(|status| (*status).to_owned()).collect();
    let rows = sqlx::query!(
        r#"
        select wanted.status as "status!",
            (select count(*) from (
                select from financing_offers
                where financing_offers.status = wanted.status
                order by created_at limit $2
            ) as counted) as "offers!"
        from unnest($1::text[]) as wanted (status)
        "#,
        &statuses,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.status, row.offers)).collect())
}

// By account.
export_rows!(
    export,
    "select * from financing_offers where account_id = any($1) order by created_at, offer_id"
);
