//! Finds offers whose stored status must be outdated, because an event about them is missing.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A financing that was canceled after its payout.
#[derive(Clone, Debug)]
pub struct Cancellation {
    pub offer_id: String,
    /// The time of the latest reversal.
    pub canceled_at: DateTime<Utc>,
}

/// The evidence against which [`find_stale`] checks the stored statuses.
#[derive(Clone, Copy, Debug)]
pub struct StaleFilter<'a> {
    /// The offers that Stripe lists as undelivered.
    pub listed: &'a [String],
    pub cancellations: &'a [Cancellation],
    /// The mode of the API key, which sees no offers of the other one; none if unknown.
    pub livemode: Option<bool>,
    /// Offers stored at or after this time are skipped, because Stripe's list may lag behind.
    pub before: DateTime<Utc>,
}

/// Offers whose stored status must be outdated, oldest first: undelivered offers that Stripe does
/// not list, and running financings that were canceled after the stored snapshot.
pub async fn find_stale(
    db: impl PgExecutor<'_>,
    filter: &StaleFilter<'_>,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    let (canceled, canceled_at): (Vec<String>, Vec<DateTime<Utc>>) = filter
        .cancellations
        .iter()
        .map(|cancellation| (cancellation.offer_id.clone(), cancellation.canceled_at))
        .unzip();
    sqlx::query_scalar!(
        r#"
        select offer_id as "offer_id!"
        from (
            select offer_id, created_at
            from financing_offers
            where status = 'undelivered' and object_as_of < $1 and offer_id <> all($2)
                and ($3::boolean is null or livemode = $3)
            union all
            select financing_offers.offer_id, created_at
            from financing_offers
            join unnest($5::text[], $6::timestamptz[]) as cancellation (offer_id, canceled_at)
                on cancellation.offer_id = financing_offers.offer_id
                    and cancellation.canceled_at > financing_offers.object_as_of
            where status in ('accepted', 'paid_out') and object_as_of < $1
                and ($3::boolean is null or livemode = $3)
        ) as stale
        order by created_at
        limit $4
        "#,
        filter.before,
        filter.listed,
        filter.livemode,
        limit,
        &canceled,
        &canceled_at,
    )
    .fetch_all(db)
    .await
}
