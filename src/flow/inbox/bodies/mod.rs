//! The bodies of events, in one partition per day (docs/decisions/0037). Creates partitions ahead
//! of time and drops those past the retention period.
//!
//! A missing partition is not an error: bodies of that day go to the default partition, where they
//! are erased row by row.

pub mod store;

use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::PgExecutor;

/// The retention job creates partitions hourly; three days outlast a weekend without it.
const DAYS_AHEAD: u64 = 3;

/// Creates the partitions of today and the following days. Existing ones are left alone, and one
/// that cannot be created now is left to the next call.
pub async fn create_partitions(
    db: impl PgExecutor<'_> + Copy,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let today = received_on(now);
    for day in (0..=DAYS_AHEAD).filter_map(|ahead| today.checked_add_days(Days::new(ahead))) {
        // One transaction each: attaching a partition locks the default one until it commits.
        if !store::create_partition(db, day).await? {
            tracing::debug!(%day, "no partition for this day: its bodies go to the default one");
        }
    }
    Ok(())
}

/// The day whose partition holds the body.
pub(super) fn received_on(received_at: DateTime<Utc>) -> NaiveDate {
    received_at.date_naive()
}
