//! The job that reads an account's transactions from Stripe's list: those before this service was there, and those whose event never
//! came. One job for an account, page by page; a crash goes on after the last page that was written down.
//!
//! The list is read to its end once. After that it is read each day, as long as a financing of the account is under way, and back to
//! what the reading before had seen. Where our sums are others than Stripe's summary, it is read at once.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool};

use super::store::{self, Progress};
use super::{Told, take_in};
use crate::clock::Clock;
use crate::queue::{self, Circuit, Claim, Ending, Next, Queued, Retryable, Stopped, Work};
use crate::stripe::{AccountId, Client, FinancingTransaction, IdError, Page};

/// The kind of the jobs.
const JOB: &str = "read_transactions";
/// Events tell of what is new at once; this finds the ones that never came.
const EVERY: Duration = Duration::from_hours(24);
/// The readings overlap by so much: Stripe's list may be behind for a while.
const OVERLAP: TimeDelta = TimeDelta::days(2);
/// The letters about the offers of a new account are sent first.
const AFTER_FIRST_SIGHT: Duration = Duration::from_mins(5);

/// Reads transactions.
#[derive(Clone, Debug)]
pub struct ReadTransactions {
    /// Where they are kept.
    pub db: PgPool,
    /// When they are first seen.
    pub clock: Clock,
    /// Whom to ask.
    pub stripe: Client,
    /// How long a claim lasts.
    pub lease: Duration,
}

/// Cannot happen while jobs are queued by [`watch`].
#[derive(Debug, thiserror::Error)]
#[error("the job's subject names no account")]
struct NotAnAccount(#[from] IdError);

impl Retryable for NotAnAccount {
    fn next(&self) -> Next {
        Next::GiveUp
    }
}

/// Has an account's transactions read, in the caller's transaction: soon, on first sight of it; at once, where a financing began
/// since.
pub async fn watch(
    tx: &mut PgConnection,
    account_id: &str,
    has_begun: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let due = if has_begun { now } else { now + AFTER_FIRST_SIGHT };
    if queue::enqueue(&mut *tx, JOB, account_id, due).await? == Queued::Again && has_begun {
        queue::bring_forward(tx, JOB, account_id, now).await?;
    }
    Ok(())
}

/// Has them read now, whether or not they were read before, in the caller's transaction.
pub(super) async fn read_again(
    tx: &mut PgConnection,
    account_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if queue::enqueue(&mut *tx, JOB, account_id, now).await? == Queued::Again {
        queue::bring_forward(tx, JOB, account_id, now).await?;
    }
    Ok(())
}

impl Work for ReadTransactions {
    const KIND: &'static str = JOB;

    #[tracing::instrument(name = "financing.read_transactions", skip_all, fields(account.id = %claim.subject))]
    async fn run(&self, claim: &Claim) -> Result<(), Stopped> {
        let account: AccountId = claim.subject.parse().map_err(NotAnAccount)?;
        let mut progress = store::progress(&self.db, account.as_str()).await?;
        let mut has_begun_anew = false;
        loop {
            let after = progress.after_transaction_id.as_deref();
            let page = match self.stripe.transactions(&account, after).await {
                // The place to go on after is none any more.
                Err(error) if error.is_missing() && after.is_some() && !has_begun_anew => {
                    (progress.after_transaction_id, has_begun_anew) = (None, true);
                    continue;
                }
                // Gone from the platform, or never its own: what is known of it stays.
                Err(error) if error.is_not_found() && after.is_none() => {
                    Page { entries: Vec::new(), has_more: false, at: None }
                }
                page => page?,
            };
            let more = self.keep(claim, &account, &page, &mut progress).await?;
            if !more {
                return Ok(());
            }
            if claim.is_stopping() {
                return Err(Stopped::Released);
            }
        }
    }

    async fn give_up(&self, _tx: &mut PgConnection, _claim: &Claim, _error: &str) -> sqlx::Result<()> {
        // The dead job itself is what a person sees. A financing that begins, or a summary that differs, brings it back.
        Ok(())
    }

    fn leans_on(&self) -> &[Circuit] {
        std::slice::from_ref(self.stripe.circuit())
    }
}

impl ReadTransactions {
    /// Writes a page down with how far the reading is. False where it was the last, and the job is done for now.
    async fn keep(
        &self,
        claim: &Claim,
        account: &AccountId,
        page: &Page,
        progress: &mut Progress,
    ) -> Result<bool, Stopped> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        queue::renew(&mut *tx, claim, self.lease, now).await?.or_stop()?;
        let mut oldest = None;
        for entry in &page.entries {
            match read(entry) {
                Ok((transaction, object)) => {
                    progress.after_transaction_id = Some(transaction.id.as_str().to_owned());
                    oldest = Some(transaction.created_at);
                    take_in(&mut tx, &Told { transaction, object: &object }, now).await?;
                }
                Err(error) => {
                    progress.unreadable += 1;
                    tracing::error!(%error, "cannot read a transaction of Stripe's list: a person must look");
                }
            }
        }
        // A page of nothing that we can read leaves nothing to go on after.
        let at_end = !page.has_more || page.entries.iter().all(|entry| read(entry).is_err());
        let was_seen = |before: DateTime<Utc>| oldest.is_some_and(|oldest| oldest < before - OVERLAP);
        let is_over = at_end || progress.completed_at.is_some_and(was_seen);
        if is_over {
            progress.after_transaction_id = None;
            progress.completed_at = Some(now);
        }
        store::note_progress(&mut *tx, account.as_str(), progress, now).await?;
        if is_over {
            let goes_on = store::is_under_way(&mut *tx, account.as_str()).await?;
            let ending = if goes_on { Ending::Later { at: now + EVERY } } else { Ending::Done };
            queue::finish(&mut tx, claim, ending, now).await?.or_stop()?;
        }
        tx.commit().await?;
        Ok(!is_over)
    }
}

fn read(entry: &RawValue) -> serde_json::Result<(FinancingTransaction, Value)> {
    Ok((serde_json::from_str(entry.get())?, serde_json::from_str(entry.get())?))
}
