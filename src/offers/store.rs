//! The SQL of the offers. The caller owns the transaction.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

use super::Observation;
use crate::database::{Cursor, json_text};
use crate::stripe::{Contract, FinancingType, OfferId, OfferStatus, ProductType};

/// An offer as we know it, locked until the transaction ends.
#[derive(Debug)]
pub struct Known {
    pub status: OfferStatus,
    pub object: Value,
    pub object_as_of: DateTime<Utc>,
}

/// Reads an offer and locks it.
pub async fn lock(tx: &mut PgConnection, offer_id: &str) -> sqlx::Result<Option<Known>> {
    sqlx::query_as!(
        Known,
        "
        select status, object, object_as_of
        from financing_offers
        where offer_id = $1
        for no key update
        ",
        offer_id,
    )
    .fetch_optional(tx)
    .await
}

/// Which version of an offer is known: an answer of Stripe's is about it, or about a younger one,
/// while this stays the same.
pub type Version = Option<(String, DateTime<Utc>)>;

/// The version that is known.
pub async fn find_version(db: impl sqlx::PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Version> {
    let found = sqlx::query!(
        "select status, object_as_of from financing_offers where offer_id = $1",
        offer_id
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| (row.status, row.object_as_of)))
}

/// The version that is known, which stays so until the transaction ends.
pub async fn lock_version(tx: &mut PgConnection, offer_id: &str) -> sqlx::Result<Version> {
    Ok(lock(tx, offer_id).await?.map(|known| (known.status.to_string(), known.object_as_of)))
}

/// Writes a new offer down, with its status. False where somebody else just did.
pub async fn add(
    tx: &mut PgConnection,
    told: &Observation<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let offer = &told.offer;
    let terms = offer.offered_terms.as_ref();
    let added = sqlx::query!(
        "
        insert into financing_offers (
            offer_id, account_id, livemode, status, product_type, campaign_type, financing_type,
            disclaimer_variant, currency, advance_minor, fee_minor, withhold_rate,
            replacement_offer_id,
            replacement_for_offer_id, object, created_at, expires_at, charged_off_at, first_seen_at,
            object_as_of
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::text::json,
            $16, $17, $18, $19, $20)
        on conflict (offer_id) do nothing
        ",
        offer.id.as_str(),
        offer.account.as_str(),
        offer.livemode,
        offer.status.as_str(),
        offer.product_type.as_ref().map(ProductType::as_str),
        terms.and_then(|terms| terms.campaign_type.as_deref()),
        offer.kind_of_financing().map(FinancingType::as_str),
        offer.disclaimer_variant.as_deref(),
        terms.map(|terms| terms.currency.as_str()),
        terms.map(|terms| terms.advance_amount),
        terms.map(|terms| terms.fee_amount),
        terms.map(|terms| terms.withhold_rate),
        offer.replacement.as_ref().map(OfferId::as_str),
        offer.replacement_for.as_ref().map(OfferId::as_str),
        json_text(told.object),
        offer.created().unwrap_or(told.as_of),
        offer.expires_at,
        offer.charged_off_at,
        now,
        told.as_of,
    )
    .execute(tx)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Replaces everything but the status, which `[``move_status``]` alone may touch.
pub async fn replace(tx: &mut PgConnection, told: &Observation<'_>) -> sqlx::Result<()> {
    let offer = &told.offer;
    let terms = offer.offered_terms.as_ref();
    sqlx::query!(
        "
        update financing_offers
        set product_type = $2, campaign_type = $3, financing_type = $4, disclaimer_variant = $5,
            currency = $6,
            advance_minor = $7, fee_minor = $8, withhold_rate = $9,
            -- Who took whose place does not change; an older shape of the object may leave it out.
            replacement_offer_id = coalesce($10, replacement_offer_id),
            replacement_for_offer_id = coalesce($11, replacement_for_offer_id),
            object = $12::text::json, expires_at = $13, charged_off_at = $14, object_as_of = $15
        where offer_id = $1
        ",
        offer.id.as_str(),
        offer.product_type.as_ref().map(ProductType::as_str),
        terms.and_then(|terms| terms.campaign_type.as_deref()),
        offer.kind_of_financing().map(FinancingType::as_str),
        offer.disclaimer_variant.as_deref(),
        terms.map(|terms| terms.currency.as_str()),
        terms.map(|terms| terms.advance_amount),
        terms.map(|terms| terms.fee_amount),
        terms.map(|terms| terms.withhold_rate),
        offer.replacement.as_ref().map(OfferId::as_str),
        offer.replacement_for.as_ref().map(OfferId::as_str),
        json_text(told.object),
        offer.expires_at,
        offer.charged_off_at,
        told.as_of,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which offers are missing from Stripe's list.
#[derive(Clone, Copy, Debug)]
pub struct Missing<'a> {
    /// Those that are not.
    pub listed: &'a [String],
    /// The mode of our key: it does not see the others. None: it does not say.
    pub livemode: Option<bool>,
    /// Last heard of before this time: a list may be behind for a moment.
    pub before: DateTime<Utc>,
}

/// Offers whose status cannot be right: those that only we call undelivered, and those with a
/// transaction that undoes the financing and is younger than what is known of the offer.
pub async fn undelivered_but(
    db: impl sqlx::PgExecutor<'_>,
    missing: &Missing<'_>,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select offer_id as "offer_id!"
        from (
            select offer_id, created_at
            from financing_offers
            where status = 'undelivered' and object_as_of < $1 and offer_id <> all($2)
                and ($3::boolean is null or livemode = $3)
            union all
            select offer_id, created_at
            from financing_offers
            where status in ('accepted', 'paid_out') and object_as_of < $1
                and ($3::boolean is null or livemode = $3)
                and exists (
                    select from financing_transactions
                    where financing_transactions.offer_id = financing_offers.offer_id
                        and type = 'reversal'
                        and reason = 'financing_cancellation'
                        and financing_transactions.created_at > financing_offers.object_as_of
                )
        ) as doubtful
        order by created_at
        limit $4
        "#,
        missing.before,
        missing.listed,
        missing.livemode,
        limit,
    )
    .fetch_all(db)
    .await
}

/// An offer, for a person.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Shown {
    /// `financingoffer_…`
    pub offer_id: String,
    /// `acct_…`
    pub account_id: String,
    /// Stripe's word.
    pub status: String,
    /// False for test data.
    pub livemode: bool,
    /// Lower-case ISO code.
    pub currency: Option<String>,
    /// Minor units.
    pub advance_minor: Option<i64>,
    /// Minor units.
    pub fee_minor: Option<i64>,
    /// When Stripe made it.
    pub created_at: DateTime<Utc>,
    /// After this moment nobody can apply.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The newest offers, of one status where one is given.
pub async fn list(
    db: impl sqlx::PgExecutor<'_>,
    status: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Shown>> {
    sqlx::query_as!(
        Shown,
        "
        select offer_id, account_id, status, livemode, currency, advance_minor, fee_minor,
            created_at, expires_at
        from financing_offers
        where $1::text is null or status = $1
        order by created_at desc, offer_id desc
        limit $2
        ",
        status,
        limit,
    )
    .fetch_all(db)
    .await
}

/// One offer.
pub async fn find(db: impl sqlx::PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Option<Shown>> {
    sqlx::query_as!(
        Shown,
        "
        select offer_id, account_id, status, livemode, currency, advance_minor, fee_minor,
            created_at, expires_at
        from financing_offers
        where offer_id = $1
        ",
        offer_id,
    )
    .fetch_optional(db)
    .await
}

/// An offer of an account, with what decides how it is shown.
#[derive(Clone, Debug)]
pub struct OfAccount {
    /// `financingoffer_…`
    pub offer_id: String,
    /// Stripe's word.
    pub status: String,
    /// False for test data.
    pub livemode: bool,
    /// `standard`, `refill`, or newer.
    pub product_type: Option<String>,
    /// `flex_loan`, `cash_advance`, or newer.
    pub financing_type: Option<String>,
    /// Which mandatory disclaimer goes with it.
    pub disclaimer_variant: Option<String>,
    /// Lower-case ISO code.
    pub currency: Option<String>,
    /// Minor units, as offered.
    pub advance_minor: Option<i64>,
    /// Minor units, as offered.
    pub fee_minor: Option<i64>,
    /// A fraction, as offered.
    pub withhold_rate: Option<f64>,
    /// The offer that took this one's place.
    pub replacement_offer_id: Option<String>,
    /// The offer whose place this one took.
    pub replacement_for_offer_id: Option<String>,
    /// When Stripe made it.
    pub created_at: DateTime<Utc>,
    /// After this moment nobody can apply.
    pub expires_at: Option<DateTime<Utc>>,
    /// When Stripe wrote the financing off.
    pub charged_off_at: Option<DateTime<Utc>>,
    /// What the merchant agreed to, as Stripe sent it; may differ from what was offered.
    pub accepted_terms: Option<Value>,
}

impl OfAccount {
    /// Which words are right for it.
    pub fn contract(&self) -> Contract {
        self.financing_type.clone().map(FinancingType::from).as_ref().into()
    }
}

/// The offers of an account, the newest first; of one mode alone, or of both.
pub async fn of_account(
    db: impl sqlx::PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    limit: i64,
) -> sqlx::Result<Vec<OfAccount>> {
    let rows = sqlx::query!(
        "
        select offer_id, status, livemode, product_type, financing_type, disclaimer_variant,
            currency, advance_minor, fee_minor,
            withhold_rate, replacement_offer_id, replacement_for_offer_id, created_at, expires_at,
            charged_off_at, object
        from financing_offers
        where account_id = $1 and ($2::boolean is null or livemode = $2)
        order by created_at desc, offer_id desc
        limit $3
        ",
        account_id,
        livemode,
        limit,
    )
    .fetch_all(db)
    .await?;
    let read = rows.into_iter().map(|row| OfAccount {
        offer_id: row.offer_id,
        status: row.status,
        livemode: row.livemode,
        product_type: row.product_type,
        financing_type: row.financing_type,
        disclaimer_variant: row.disclaimer_variant,
        currency: row.currency,
        advance_minor: row.advance_minor,
        fee_minor: row.fee_minor,
        withhold_rate: row.withhold_rate,
        replacement_offer_id: row.replacement_offer_id,
        replacement_for_offer_id: row.replacement_for_offer_id,
        created_at: row.created_at,
        expires_at: row.expires_at,
        charged_off_at: row.charged_off_at,
        // Not by `->` of Postgres, which fails where there is a NUL anywhere in the object.
        accepted_terms: row.object.get("accepted_terms").cloned(),
    });
    Ok(read.collect())
}

/// Gives an offer another status. Says which one it replaced; none where the offer has this one
/// already.
pub async fn move_status(
    db: impl sqlx::PgExecutor<'_>,
    offer_id: &str,
    status: &OfferStatus,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "
        update financing_offers
        set status = $2
        from (select offer_id, status from financing_offers where offer_id = $1 for no key update) as before
        where financing_offers.offer_id = before.offer_id and financing_offers.status <> $2
        returning before.status
        ",
        offer_id,
        status.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// The status of an offer as we know it, locked for a change until the transaction ends; none of
/// one that we do not know.
pub async fn lock_status(
    tx: &mut PgConnection,
    offer_id: &str,
) -> sqlx::Result<Option<OfferStatus>> {
    let status = sqlx::query_scalar!(
        "select status from financing_offers where offer_id = $1 for no key update",
        offer_id,
    )
    .fetch_optional(tx)
    .await?;
    Ok(status.map(OfferStatus::from))
}

/// The status of an offer as we know it, which stays so until the transaction ends; none of one that we do not know.
pub async fn hold_status(
    tx: &mut PgConnection,
    offer_id: &str,
) -> sqlx::Result<Option<OfferStatus>> {
    let status = sqlx::query_scalar!(
        "select status from financing_offers where offer_id = $1 for share",
        offer_id
    )
    .fetch_optional(tx)
    .await?;
    Ok(status.map(OfferStatus::from))
}

/// An offer with all columns that the API shows.
#[derive(Clone, Debug)]
pub struct OfferDetails {
    pub offer_id: String,
    pub status: String,
    pub livemode: bool,
    pub financing_type: Option<String>,
    pub product_type: Option<String>,
    pub campaign_type: Option<String>,
    pub disclaimer_variant: Option<String>,
    pub currency: Option<String>,
    pub advance_minor: Option<i64>,
    pub fee_minor: Option<i64>,
    pub withhold_rate: Option<f64>,
    /// Stripe's object as received.
    pub object: Value,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub charged_off_at: Option<DateTime<Utc>>,
    pub replacement_offer_id: Option<String>,
    pub replacement_for_offer_id: Option<String>,
}

/// A page of an account's offers.
#[derive(Clone, Copy, Debug)]
pub struct AccountPage<'a> {
    /// Only offers older than this one.
    pub after: Option<&'a Cursor<OfferId>>,
    /// Only offers of this mode; `None` for both.
    pub livemode: Option<bool>,
    pub limit: i64,
}

/// A page of an account's offers, newest first.
pub async fn page_of_account(
    db: impl sqlx::PgExecutor<'_>,
    account_id: &str,
    page: &AccountPage<'_>,
) -> sqlx::Result<Vec<OfferDetails>> {
    sqlx::query_as!(
        OfferDetails,
        "
        select offer_id, status, livemode, financing_type, product_type, campaign_type,
            disclaimer_variant, currency, advance_minor, fee_minor, withhold_rate, object,
            created_at, expires_at, charged_off_at, replacement_offer_id, replacement_for_offer_id
        from financing_offers
        where account_id = $1 and ($5::boolean is null or livemode = $5)
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

/// Whether an offer exists and belongs to an account.
pub async fn belongs_to(
    db: impl sqlx::PgExecutor<'_>,
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
