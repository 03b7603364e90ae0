//! The SQL of the explanations.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use sqlx::types::Json;

use super::Explanation;

pub(super) async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
    payout_id: &str,
) -> sqlx::Result<Option<Explanation>> {
    let found = sqlx::query_scalar!(
        r#"
        select explanation as "explanation: Json<Explanation>"
        from payout_explanations
        where account_id = $1 and payout_id = $2
        "#,
        account_id,
        payout_id,
    )
    .fetch_optional(db)
    .await?;
    // One from before that was known may have been kept too early.
    Ok(found.map(|Json(explanation)| explanation).filter(|explanation| explanation.is_complete))
}

pub(super) async fn keep(
    db: impl PgExecutor<'_>,
    account_id: &str,
    explanation: &Explanation,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let kept =
        serde_json::to_string(explanation).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query!(
        "
        insert into payout_explanations (payout_id, account_id, arrives_on, explanation, explained_at)
        values ($1, $2, $3, $4::text::json, $5)
        on conflict (payout_id) do update set explanation = excluded.explanation,
            explained_at = excluded.explained_at
        ",
        explanation.payout_id,
        account_id,
        explanation.arrives_on,
        kept,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
