//! SQL of the `operator_actions` table. The caller owns the transaction.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;

use super::Action;
use crate::database::{Dismissed, export_rows, storable};
use crate::operators::Instruction;
use crate::operators::attention::DISMISS;

/// Dismissals are forgotten after this, so that their number stays bounded.
const DISMISSED_FOR: TimeDelta = TimeDelta::days(180);

pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    instruction: &Instruction,
    action: &Action<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into operator_actions (
            acted_at, operator, channel, action, subject, offer_id, account_id, reason, outcome
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ",
        now,
        storable(&instruction.operator),
        instruction.channel.as_str(),
        action.name,
        storable(&action.subject),
        action.offer_id.as_deref(),
        action.account_id.as_deref(),
        instruction.reason.as_ref().map(|reason| storable(reason.as_str())),
        storable(action.outcome),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An entry of the log. The fields are named as the columns.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LoggedAction {
    pub action_id: i64,
    pub acted_at: DateTime<Utc>,
    pub operator: String,
    /// `console` or `command_line`.
    pub channel: String,
    pub action: String,
    pub subject: String,
    pub offer_id: Option<String>,
    pub account_id: Option<String>,
    pub reason: Option<String>,
    pub outcome: String,
}

/// Selects entries of the log; `None` selects all.
#[derive(Clone, Copy, Debug, Default)]
pub struct ActionFilter<'a> {
    pub account_id: Option<&'a str>,
    /// Only entries older than this one.
    pub before: Option<i64>,
    pub limit: i64,
}

/// The newest entries first.
pub async fn list(
    db: impl PgExecutor<'_>,
    filter: &ActionFilter<'_>,
) -> sqlx::Result<Vec<LoggedAction>> {
    sqlx::query_as!(
        LoggedAction,
        "
        select action_id, acted_at, operator, channel, action, subject, offer_id, account_id,
            reason, outcome
        from operator_actions
        where ($1::text is null or account_id = $1) and ($2::bigint is null or action_id < $2)
        order by action_id desc
        limit $3
        ",
        filter.account_id,
        filter.before,
        filter.limit,
    )
    .fetch_all(db)
    .await
}

/// What operators did about an offer, in order.
pub async fn list_of_offer(
    db: impl PgExecutor<'_>,
    offer_id: &str,
) -> sqlx::Result<Vec<LoggedAction>> {
    sqlx::query_as!(
        LoggedAction,
        "
        select action_id, acted_at, operator, channel, action, subject, offer_id, account_id,
            reason, outcome
        from operator_actions
        where offer_id = $1
        order by action_id
        ",
        offer_id,
    )
    .fetch_all(db)
    .await
}

/// What was dismissed, by the type of its subject (`letter`, `job`, …): the ids without the type.
pub async fn dismissed(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<HashMap<String, Dismissed>> {
    let rows = sqlx::query!(
        r#"
        select split_part(subject, ':', 1) as "subject_type!", split_part(subject, ':', 2) as "id!",
            max(acted_at) as "at!"
        from operator_actions
        where action = $1 and acted_at > $2
        group by subject
        "#,
        DISMISS,
        now - DISMISSED_FOR,
    )
    .fetch_all(db)
    .await?;
    let mut by_type: HashMap<String, Dismissed> = HashMap::new();
    for row in rows {
        let dismissed = by_type.entry(row.subject_type).or_default();
        dismissed.ids.push(row.id);
        dismissed.at.push(row.at);
    }
    Ok(by_type)
}

// By account.
export_rows!(
    export,
    "select * from operator_actions where account_id = any($1) order by action_id"
);
