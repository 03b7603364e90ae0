//! The SQL of what is shown of offers: reading alone.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use crate::database::Cursor;
use crate::stripe::OfferId;

/// An offer, with the first letter about it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) offer_id: String,
    pub(super) status: String,
    pub(super) livemode: bool,
    pub(super) financing_type: Option<String>,
    pub(super) product_type: Option<String>,
    pub(super) campaign_type: Option<String>,
    pub(super) disclaimer_variant: Option<String>,
    pub(super) currency: Option<String>,
    pub(super) advance_minor: Option<i64>,
    pub(super) fee_minor: Option<i64>,
    pub(super) withhold_rate: Option<f64>,
    pub(super) object: Value,
    pub(super) created_at: DateTime<Utc>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) charged_off_at: Option<DateTime<Utc>>,
    pub(super) replacement_offer_id: Option<String>,
    pub(super) replacement_for_offer_id: Option<String>,
    pub(super) letter_state: Option<String>,
    pub(super) letter_reason: Option<String>,
    pub(super) letter_sent_at: Option<DateTime<Utc>>,
}

impl Row {
    /// Where a list goes on after it.
    pub(super) fn cursor(&self) -> Cursor<&str> {
        Cursor { created_at: self.created_at, id: &self.offer_id }
    }
}

/// Which of them to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// Older than this one.
    pub(super) after: Option<&'a Cursor<OfferId>>,
    /// Of this mode alone.
    pub(super) livemode: Option<bool>,
    pub(super) limit: i64,
}

/// Some of an account's offers, the newest first.
pub(super) async fn of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
    page: &Page<'_>,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"
        select offers.offer_id, offers.status, offers.livemode, offers.financing_type,
            offers.product_type, offers.campaign_type,
            offers.disclaimer_variant, offers.currency, offers.advance_minor, offers.fee_minor,
            offers.withhold_rate,
            offers.object, offers.created_at, offers.expires_at, offers.charged_off_at,
            offers.replacement_offer_id,
            offers.replacement_for_offer_id, letters.state as "letter_state?", letters.reason
            as "letter_reason?",
            letters.sent_at as "letter_sent_at?"
        from financing_offers as offers
        left join letters on letters.offer_id = offers.offer_id and letters.sequence = 0
        where offers.account_id = $1 and ($5::boolean is null or offers.livemode = $5)
            and (offers.created_at, offers.offer_id) < (coalesce($2, 'infinity'::timestamptz), coalesce($3, ''))
        order by offers.created_at desc, offers.offer_id desc
        limit $4
        "#,
        account_id,
        page.after.map(|place| place.created_at),
        page.after.map(|place| place.id.as_str()),
        page.limit,
        page.livemode,
    )
    .fetch_all(db)
    .await
}

/// Whether an offer is an account's.
pub(super) async fn has(
    db: impl PgExecutor<'_>,
    account_id: &str,
    offer_id: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (select from financing_offers where offer_id = $2 and account_id = $1)
            as "has!"
        "#,
        account_id,
        offer_id,
    )
    .fetch_one(db)
    .await
}

/// A line of an offer's timeline.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) timeline_entry_id: i64,
    pub(super) happened_at: DateTime<Utc>,
    pub(super) kind: String,
    pub(super) status_before: Option<String>,
    pub(super) status_after: Option<String>,
    pub(super) note: Option<String>,
}

/// Some of an offer's timeline, in the order in which it was written down.
pub(super) async fn timeline(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as!(
        Line,
        "
        select timeline_entry_id, happened_at, kind, status_before, status_after, note
        from timeline_entries
        where offer_id = $1 and timeline_entry_id > $2
        order by timeline_entry_id
        limit $3
        ",
        offer_id,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}
