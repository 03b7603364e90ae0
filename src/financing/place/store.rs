//! The SQL of the places.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::Home;

/// Country and time zone as they were kept.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Option<(Option<String>, String)>> {
    let found =
        sqlx::query!("select country, time_zone from account_places where account_id = $1", account_id)
            .fetch_optional(db)
            .await?;
    Ok(found.map(|row| (row.country, row.time_zone)))
}

/// Writes down what is new; nothing is written where nothing is.
pub(super) async fn keep(
    db: impl PgExecutor<'_>,
    account_id: &str,
    home: &Home,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into account_places as kept (account_id, country, time_zone, learned_at)
        values ($1, $2, $3, $4)
        on conflict (account_id) do update
        set country = $2, time_zone = $3, learned_at = $4
        where (kept.country, kept.time_zone) is distinct from ($2, $3)
        ",
        account_id,
        home.country,
        home.time_zone.name(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
