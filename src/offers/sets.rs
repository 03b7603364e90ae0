//! Queries on many offers at once, each one statement. Rows are locked in the order of their ids, so
//! that concurrent transactions cannot deadlock.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::ObservedOffer;
use crate::stripe::{FinancingOffer, FinancingType, OfferId, OfferStatus, ProductType};

/// What decides the effect of an observation on a stored offer.
#[derive(Clone, Debug)]
pub struct KnownOffer {
    pub status: OfferStatus,
    /// When Stripe rendered the stored snapshot.
    pub object_as_of: DateTime<Utc>,
    pub terms: Option<KnownTerms>,
}

/// The terms of a snapshot that may change in place.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownTerms {
    pub advance_minor: i64,
    pub fee_minor: i64,
    pub withhold_rate: f64,
    pub currency: String,
}

impl KnownTerms {
    /// None if the object was rendered without terms.
    pub fn of(offer: &FinancingOffer) -> Option<Self> {
        let terms = offer.offered_terms.as_ref()?;
        Some(Self {
            advance_minor: terms.advance_amount,
            fee_minor: terms.fee_amount,
            withhold_rate: terms.withhold_rate,
            currency: terms.currency.clone(),
        })
    }
}

/// Reads offers by their ids and locks them for an update. Readers of foreign keys are not blocked.
pub async fn lock_all(
    tx: &mut PgConnection,
    offer_ids: &[String],
) -> sqlx::Result<HashMap<String, KnownOffer>> {
    if offer_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        "
        select offer_id, status, object_as_of, advance_minor, fee_minor, withhold_rate, currency
        from financing_offers
        where offer_id = any($1)
        order by offer_id
        for no key update
        ",
        offer_ids,
    )
    .fetch_all(tx)
    .await?;
    let known = rows.into_iter().map(|row| {
        let terms = (|| {
            Some(KnownTerms {
                advance_minor: row.advance_minor?,
                fee_minor: row.fee_minor?,
                withhold_rate: row.withhold_rate?,
                currency: row.currency?,
            })
        })();
        let status = OfferStatus::from(row.status);
        (row.offer_id, KnownOffer { status, object_as_of: row.object_as_of, terms })
    });
    Ok(known.collect())
}

/// The statuses, which other transactions cannot change until this one ends.
pub async fn lock_statuses_shared(
    tx: &mut PgConnection,
    offer_ids: &[String],
) -> sqlx::Result<HashMap<String, OfferStatus>> {
    let rows = sqlx::query!(
        "
        select offer_id, status
        from financing_offers
        where offer_id = any($1)
        order by offer_id
        for share
        ",
        offer_ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.offer_id, OfferStatus::from(row.status))).collect())
}

/// The columns of offers, one array each.
#[derive(Default)]
struct Columns {
    offer_id: Vec<String>,
    account_id: Vec<String>,
    livemode: Vec<bool>,
    status: Vec<String>,
    created_at: Vec<DateTime<Utc>>,
    product_type: Vec<Option<String>>,
    campaign_type: Vec<Option<String>>,
    financing_type: Vec<Option<String>>,
    disclaimer_variant: Vec<Option<String>>,
    currency: Vec<Option<String>>,
    advance_minor: Vec<Option<i64>>,
    fee_minor: Vec<Option<i64>>,
    withhold_rate: Vec<Option<f64>>,
    replacement: Vec<Option<String>>,
    replacement_for: Vec<Option<String>>,
    object: Vec<String>,
    expires_at: Vec<Option<DateTime<Utc>>>,
    charged_off_at: Vec<Option<DateTime<Utc>>>,
    as_of: Vec<DateTime<Utc>>,
}

impl Columns {
    fn add(&mut self, seen: &ObservedOffer<'_>, replacements: [Option<&OfferId>; 2]) {
        let offer = seen.offer;
        let terms = offer.offered_terms.as_ref();
        let text = |text: Option<&str>| text.map(str::to_owned);
        self.offer_id.push(offer.id.to_string());
        self.account_id.push(offer.account.to_string());
        self.livemode.push(offer.livemode);
        self.status.push(offer.status.to_string());
        self.created_at.push(offer.created().unwrap_or(seen.as_of));
        self.product_type.push(text(offer.product_type.as_ref().map(ProductType::as_str)));
        self.campaign_type.push(terms.and_then(|terms| terms.campaign_type.clone()));
        self.financing_type.push(text(offer.kind_of_financing().map(FinancingType::as_str)));
        self.disclaimer_variant.push(offer.disclaimer_variant.clone());
        self.currency.push(terms.map(|terms| terms.currency.clone()));
        self.advance_minor.push(terms.map(|terms| terms.advance_amount));
        self.fee_minor.push(terms.map(|terms| terms.fee_amount));
        self.withhold_rate.push(terms.map(|terms| terms.withhold_rate));
        let [replacement, replacement_for] = replacements;
        self.replacement.push(text(replacement.map(OfferId::as_str)));
        self.replacement_for.push(text(replacement_for.map(OfferId::as_str)));
        self.object.push(seen.object.to_owned());
        self.expires_at.push(offer.expires_at);
        self.charged_off_at.push(offer.charged_off_at);
        self.as_of.push(seen.as_of);
    }
}

/// Inserts new offers with their statuses. Returns the ids of those that no concurrent transaction
/// has inserted before.
pub async fn add_all(
    tx: &mut PgConnection,
    new: &[&ObservedOffer<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    if new.is_empty() {
        return Ok(HashSet::new());
    }
    let mut columns = Columns::default();
    for seen in new {
        let replacements = [seen.offer.replacement.as_ref(), seen.offer.replacement_for.as_ref()];
        columns.add(seen, replacements);
    }
    let added = sqlx::query_scalar!(
        "
        insert into financing_offers (
            offer_id, account_id, livemode, status, product_type, campaign_type, financing_type,
            disclaimer_variant, currency, advance_minor, fee_minor, withhold_rate,
            replacement_offer_id, replacement_for_offer_id, object, created_at, expires_at,
            charged_off_at, first_seen_at, object_as_of
        )
        select offer_id, account_id, livemode, status, product_type, campaign_type, financing_type,
            disclaimer_variant, currency, advance_minor, fee_minor, withhold_rate,
            replacement_offer_id, replacement_for_offer_id, object::json, created_at, expires_at,
            charged_off_at, $20, object_as_of
        from unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[],
            $12::double precision[], $13::text[], $14::text[], $15::text[], $16::timestamptz[],
            $17::timestamptz[], $18::timestamptz[], $19::timestamptz[]) as new (
            offer_id, account_id, livemode, status, product_type, campaign_type, financing_type,
            disclaimer_variant, currency, advance_minor, fee_minor, withhold_rate,
            replacement_offer_id, replacement_for_offer_id, object, created_at, expires_at,
            charged_off_at, object_as_of
        )
        order by offer_id
        on conflict (offer_id) do nothing
        returning offer_id
        ",
        &columns.offer_id,
        &columns.account_id,
        &columns.livemode,
        &columns.status,
        &columns.product_type as &[Option<String>],
        &columns.campaign_type as &[Option<String>],
        &columns.financing_type as &[Option<String>],
        &columns.disclaimer_variant as &[Option<String>],
        &columns.currency as &[Option<String>],
        &columns.advance_minor as &[Option<i64>],
        &columns.fee_minor as &[Option<i64>],
        &columns.withhold_rate as &[Option<f64>],
        &columns.replacement as &[Option<String>],
        &columns.replacement_for as &[Option<String>],
        &columns.object,
        &columns.created_at,
        &columns.expires_at as &[Option<DateTime<Utc>>],
        &columns.charged_off_at as &[Option<DateTime<Utc>>],
        &columns.as_of,
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(added.into_iter().collect())
}

/// The snapshot that replaces the stored one.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    pub seen: &'a ObservedOffer<'a>,
    /// The last one that a replaced snapshot named. Replacements never change; an older API version
    /// may omit them.
    pub replacement: Option<&'a OfferId>,
    pub replacement_for: Option<&'a OfferId>,
}

/// Updates everything but the statuses, which only [`move_all`] writes. The caller has locked the
/// offers.
pub async fn replace_all(tx: &mut PgConnection, new: &[Snapshot<'_>]) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::default();
    for snapshot in new {
        columns.add(snapshot.seen, [snapshot.replacement, snapshot.replacement_for]);
    }
    sqlx::query!(
        "
        update financing_offers
        set product_type = new.product_type, campaign_type = new.campaign_type,
            financing_type = new.financing_type, disclaimer_variant = new.disclaimer_variant,
            currency = new.currency, advance_minor = new.advance_minor, fee_minor = new.fee_minor,
            withhold_rate = new.withhold_rate,
            replacement_offer_id =
                coalesce(new.replacement_offer_id, financing_offers.replacement_offer_id),
            replacement_for_offer_id =
                coalesce(new.replacement_for_offer_id, financing_offers.replacement_for_offer_id),
            object = new.object::json, expires_at = new.expires_at,
            charged_off_at = new.charged_off_at, object_as_of = new.object_as_of
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::bigint[], $8::bigint[], $9::double precision[], $10::text[], $11::text[],
            $12::text[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[]) as new (
            offer_id, product_type, campaign_type, financing_type, disclaimer_variant, currency,
            advance_minor, fee_minor, withhold_rate, replacement_offer_id,
            replacement_for_offer_id, object, expires_at, charged_off_at, object_as_of
        )
        where financing_offers.offer_id = new.offer_id
        ",
        &columns.offer_id,
        &columns.product_type as &[Option<String>],
        &columns.campaign_type as &[Option<String>],
        &columns.financing_type as &[Option<String>],
        &columns.disclaimer_variant as &[Option<String>],
        &columns.currency as &[Option<String>],
        &columns.advance_minor as &[Option<i64>],
        &columns.fee_minor as &[Option<i64>],
        &columns.withhold_rate as &[Option<f64>],
        &columns.replacement as &[Option<String>],
        &columns.replacement_for as &[Option<String>],
        &columns.object,
        &columns.expires_at as &[Option<DateTime<Utc>>],
        &columns.charged_off_at as &[Option<DateTime<Utc>>],
        &columns.as_of,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Sets the statuses of offers that the caller has locked.
pub async fn move_all(
    tx: &mut PgConnection,
    offer_ids: &[String],
    statuses: &[String],
) -> sqlx::Result<()> {
    if offer_ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "
        update financing_offers
        set status = moved.status
        from unnest($1::text[], $2::text[]) as moved (offer_id, status)
        where financing_offers.offer_id = moved.offer_id
        ",
        offer_ids,
        statuses,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Those of the offers that are stored, and those of the accounts that have an offer.
pub async fn known_among(
    tx: &mut PgConnection,
    offer_ids: &[String],
    account_ids: &[String],
) -> sqlx::Result<HashSet<String>> {
    if offer_ids.is_empty() && account_ids.is_empty() {
        return Ok(HashSet::new());
    }
    let known = sqlx::query_scalar!(
        r#"
        select offer_id as "id!" from financing_offers where offer_id = any($1)
        union all
        select account_id
        from unnest($2::text[]) as account (account_id)
        where exists (
            select from financing_offers where financing_offers.account_id = account.account_id
        )
        "#,
        offer_ids,
        account_ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(known.into_iter().collect())
}
