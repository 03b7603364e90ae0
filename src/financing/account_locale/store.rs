//! The SQL of the places.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// Country and time zone as they were kept.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Option<(Option<String>, String)>> {
    let found = sqlx::query!(
        "select country, time_zone from account_locales where account_id = $1",
        account_id
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| (row.country, row.time_zone)))
}

/// Writes down a country and a time zone.
pub(super) async fn keep(
    db: impl PgExecutor<'_>,
    account_id: &str,
    (country, time_zone): (Option<&str>, &str),
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into account_locales (account_id, country, time_zone, fetched_at)
        values ($1, $2, $3, $4)
        on conflict (account_id) do update
        set country = $2, time_zone = $3, fetched_at = $4
        ",
        account_id,
        country,
        time_zone,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
