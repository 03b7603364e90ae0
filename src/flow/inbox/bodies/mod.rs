//! The bodies of events, apart from the events and in one partition per day (docs/decisions/0037).
//! Creates partitions ahead, and drops those that are older than personal data may be.
//!
//! A day without a partition is no fault: its bodies go to the default partition, where they are
//! erased row by row.

pub mod store;

use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::PgExecutor;

/// The retention job creates partitions once an hour: this outlasts a weekend without it.
const DAYS_AHEAD: u64 = 3;

/// Creates the partitions of today and of the next days. Those that exist stay; one that cannot be
/// created just now is tried again by the next call.
pub async fn create_partitions(
    db: impl PgExecutor<'_> + Copy,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let today = received_on(now);
    for day in (0..=DAYS_AHEAD).filter_map(|ahead| today.checked_add_days(Days::new(ahead))) {
        // A transaction each: attaching a partition locks the default one until it commits.
        if !store::create_partition(db, day).await? {
            tracing::debug!(%day, "created no partition: bodies of that day go to the default one");
        }
    }
    Ok(())
}

/// The partition that an event's body belongs to.
pub(super) fn received_on(received_at: DateTime<Utc>) -> NaiveDate {
    received_at.date_naive()
}
