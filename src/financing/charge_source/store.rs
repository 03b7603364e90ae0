//! The SQL of the origins.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::ChargeSource;

pub(super) async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
    charge_id: &str,
) -> sqlx::Result<Option<ChargeSource>> {
    sqlx::query_as!(
        ChargeSource,
        "
        select charge_id, transfer_id, source_charge_id
        from charge_sources
        where account_id = $1 and charge_id = $2
        ",
        account_id,
        charge_id,
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn keep(
    db: impl PgExecutor<'_>,
    account_id: &str,
    origin: &ChargeSource,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into charge_sources (account_id, charge_id, transfer_id, source_charge_id, fetched_at)
        values ($1, $2, $3, $4, $5)
        on conflict (account_id, charge_id) do nothing
        ",
        account_id,
        origin.charge_id,
        origin.transfer_id,
        origin.source_charge_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
