//! The SQL of the offers. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::Told;

/// Whether an offer was new to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It was, and has the status that it came with.
    New,
    /// It was known. Its status is not touched here: that is `timeline::move_status`.
    Known,
}

/// Writes an offer down. Of a known one, everything but the status is replaced, unless what we have was rendered later.
pub(super) async fn write(
    tx: &mut PgConnection,
    told: &Told<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Written> {
    let offer = &told.offer;
    let terms = offer.offered_terms.as_ref();
    let inserted = sqlx::query_scalar!(
        r#"
        insert into financing_offers as known (
            offer_id, account_id, livemode, status, status_rank, product_type, campaign_type, financing_type,
            disclaimer_variant, currency, advance_minor, fee_minor, withhold_rate, replacement_offer_id,
            replacement_for_offer_id, object, created_at, expires_at, charged_off_at, first_seen_at, object_as_of
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
        on conflict (offer_id) do update
        set product_type = excluded.product_type, campaign_type = excluded.campaign_type,
            financing_type = excluded.financing_type, disclaimer_variant = excluded.disclaimer_variant,
            currency = excluded.currency, advance_minor = excluded.advance_minor, fee_minor = excluded.fee_minor,
            withhold_rate = excluded.withhold_rate, replacement_offer_id = excluded.replacement_offer_id,
            replacement_for_offer_id = excluded.replacement_for_offer_id, object = excluded.object,
            expires_at = excluded.expires_at, charged_off_at = excluded.charged_off_at,
            object_as_of = excluded.object_as_of
        where known.object_as_of <= excluded.object_as_of
        -- A row that was just inserted has never been locked or updated.
        returning (xmax = 0) as "inserted!"
        "#,
        offer.id.as_str(),
        offer.account.as_str(),
        offer.livemode,
        offer.status.as_str(),
        offer.status.rank(),
        offer.product_type.as_ref().map(crate::stripe::ProductType::as_str),
        terms.and_then(|terms| terms.campaign_type.as_deref()),
        offer.kind_of_financing().map(crate::stripe::FinancingType::as_str),
        offer.disclaimer_variant.as_deref(),
        terms.map(|terms| terms.currency.as_str()),
        terms.map(|terms| terms.advance_amount),
        terms.map(|terms| terms.fee_amount),
        terms.map(|terms| terms.withhold_rate),
        offer.replacement.as_ref().map(crate::stripe::OfferId::as_str),
        offer.replacement_for.as_ref().map(crate::stripe::OfferId::as_str),
        told.object,
        offer.created,
        offer.expires_at,
        offer.charged_off_at,
        now,
        told.happened_at,
    )
    .fetch_optional(tx)
    .await?;
    Ok(if inserted == Some(true) { Written::New } else { Written::Known })
}

/// Whether the offer, after all that we know of it, still waits to be delivered. Locks it, so that it stays so until the
/// transaction ends.
pub(super) async fn is_undelivered(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select status = 'undelivered' as "undelivered!"
        from financing_offers
        where offer_id = $1
        for no key update
        "#,
        offer_id,
    )
    .fetch_one(db)
    .await
}
