//! Pauses: an operator stops all emails, those for a market, or those of a kind. Nothing in scope
//! leaves, and nothing is lost: the letters stay `waiting`, without using up an attempt.
//!
//! Promise: once the transaction of [`pause`] has committed, no replica begins to hand over a
//! letter in its scope. A hand-over that began before is finished. To that end [`pause`] and the
//! transaction that commits `sending` exclude each other by a lock ([`lock_in_force`]).
//!
//! | scope | what workers do |
//! |---|---|
//! | all emails | they claim no `send_letter` job; the jobs stay due |
//! | a market, a kind, or both | known only when the letter is written: the job is put off |
//!
//! A job that was put off is due again after `RECHECK_INTERVAL`, and all of them at once when
//! [`resume`] commits.

mod seen;
pub mod store;

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::store::{Content, State, count_in_state};
use super::wording::approvals::{self, ApprovalFilter};
use super::{Kind, SEND_JOB};
use crate::queue;
use crate::stripe::DISCLAIMER_VARIANTS;

pub use seen::SeenPauses;
pub use store::in_force;

/// `jobs.last_error` of a job that a pause put off; [`resume`] finds the jobs by it.
pub(crate) const PUT_OFF: &str = "an operator paused sending";

/// When a job that was put off is looked at again, so that a letter whose offer ended is withdrawn
/// even if its event was lost. Each look costs calls to Stripe.
pub(crate) const RECHECK_INTERVAL: TimeDelta = TimeDelta::hours(1);

/// The letters that a pause stops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Two letters, as Stripe names markets; `None` for all. See [`check_market`].
    pub market: Option<String>,
    /// `None` for all.
    pub kind: Option<Kind>,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, self.market.as_deref(), self.kind.map(Kind::as_str))
    }
}

fn describe(f: &mut fmt::Formatter<'_>, market: Option<&str>, kind: Option<&str>) -> fmt::Result {
    match (market, kind) {
        (None, None) => write!(f, "all emails"),
        (Some(market), None) => write!(f, "emails for {market}"),
        (None, Some(kind)) => write!(f, "emails of the kind {kind}"),
        (Some(market), Some(kind)) => write!(f, "emails of the kind {kind} for {market}"),
    }
}

/// A pause, in force or ended. The fields are named as the columns.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pause {
    pub pause_id: i64,
    pub market: Option<String>,
    pub kind: Option<String>,
    pub reason: String,
    pub paused_by: String,
    pub paused_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_by: Option<String>,
    pub end_reason: Option<String>,
}

impl Pause {
    /// Whether it stops all letters.
    pub fn stops_all(&self) -> bool {
        self.market.is_none() && self.kind.is_none()
    }

    /// Whether it stops a letter with this content. One whose market is unknown may be for any.
    pub fn stops(&self, content: &Content) -> bool {
        let is_kind = self.kind.as_ref().is_none_or(|kind| *kind == content.kind);
        let is_market = match (&self.market, &content.market) {
            (Some(paused), Some(market)) => paused == market,
            (None, _) | (_, None) => true,
        };
        is_kind && is_market
    }
}

/// The scope.
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, self.market.as_deref(), self.kind.as_deref())
    }
}

/// Why a scope is refused. A mistyped market would stop nothing.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    #[error("no emails go to the market {0}: Stripe's markets are {1}")]
    Unknown(String, String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The markets that this version knows, sorted.
pub fn known_markets() -> Vec<&'static str> {
    let mut known: Vec<&str> = DISCLAIMER_VARIANTS.iter().map(|(_, market, ..)| *market).collect();
    known.sort_unstable();
    known.dedup();
    known
}

/// The market in capital letters, if this version knows it or an approval names it.
pub async fn check_market(db: impl PgExecutor<'_>, given: &str) -> Result<String, MarketError> {
    let market = given.to_uppercase();
    let known = known_markets();
    if known.contains(&market.as_str()) {
        return Ok(market);
    }
    let filter = ApprovalFilter { market: Some(&market), ..ApprovalFilter::default() };
    if !approvals::store::list(db, &filter).await?.is_empty() {
        return Ok(market);
    }
    Err(MarketError::Unknown(market, known.join(", ")))
}

/// The result of [`pause`].
#[derive(Clone, Debug)]
pub enum Paused {
    Begun(Pause),
    /// This scope was paused before; that pause stays as it is.
    Already(Pause),
}

/// Pauses a scope, in the caller's transaction. Waits for the transactions that are beginning to
/// send, and keeps further ones waiting until the caller commits.
pub async fn pause(
    tx: &mut PgConnection,
    scope: &Scope,
    by: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Paused> {
    store::lock(&mut *tx).await?;
    if let Some(pause) = store::find_in_force(&mut *tx, scope).await? {
        return Ok(Paused::Already(pause));
    }
    Ok(Paused::Begun(store::insert(tx, scope, by, reason, now).await?))
}

/// Ends the pause of exactly this scope, in the caller's transaction, and makes the jobs that
/// pauses put off due now. `None` if there is no such pause. Jobs in the scope of another pause are
/// put off again.
pub async fn resume(
    tx: &mut PgConnection,
    scope: &Scope,
    by: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Pause>> {
    // A worker that puts off a job either commits before, so that the job is found below, or sees
    // that the pause has ended.
    store::lock(&mut *tx).await?;
    let ended = store::end(&mut *tx, scope, by, reason, now).await?;
    if ended.is_some() {
        queue::reschedule_put_off(tx, SEND_JOB, PUT_OFF, now).await?;
    }
    Ok(ended)
}

/// The pauses in force, the oldest first. Until the transaction ends, no pause begins or ends. A
/// pause that is about to begin makes this wait.
pub async fn lock_in_force(tx: &mut PgConnection) -> sqlx::Result<Vec<Pause>> {
    // A statement of its own, before the one that reads: a statement does not see what was
    // committed while it waited for a lock.
    store::lock_shared(&mut *tx).await?;
    store::in_force(tx).await
}

/// Whether the pause is still in force. Until the transaction ends, it does not end.
pub async fn holds(tx: &mut PgConnection, pause: &Pause) -> sqlx::Result<bool> {
    store::lock_shared(&mut *tx).await?;
    store::is_in_force(tx, pause.pause_id).await
}

/// The letters that a pause leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct UnsentCounts {
    /// Being handed to the relay: not stopped. Includes hand-overs whose process died.
    pub sending: i64,
    /// Of all scopes.
    pub waiting: i64,
}

/// Counts the letters of all scopes. In the transaction of [`pause`], `sending` counts those that
/// it came too late for.
pub async fn count_unsent(db: &mut PgConnection) -> sqlx::Result<UnsentCounts> {
    Ok(UnsentCounts {
        sending: count_in_state(&mut *db, State::Sending).await?,
        waiting: count_in_state(db, State::Waiting).await?,
    })
}
