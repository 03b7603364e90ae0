//! The job that reads an account's transactions from Stripe's list: those before this service was there, and those whose event never
//! came. One job for an account, page by page; a crash goes on after the last page that was written down.
//!
//! ```text
//! begin ─▶ page ─▶ page ─▶ … ─▶ summary ─▶ end
//!   when it began               our sums held    complete as of its beginning, unless entries were passed over;
//!   how far down it goes        against it       again in a day, where there is a reason; at once, where the sums say so
//! ```
//!
//! The list is read to its end once. After that it is read each day, as long as a financing of the account is under way or something is
//! not right, and back to what the reading before had seen. Where our sums are others than Stripe's summary, it is read at once; and where
//! that did not tell why, to its end.
//!
//! Locks are taken in this order: movements, by their ids; the job; how far the reading is.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::{Connection as _, PgConnection};

use super::store::{self, BackfillPass, PassOutcome};
use super::summary::FullPass;
use super::{Financings, Observation, take_in};
use crate::database::is_about_the_data;
use crate::queue::{self, Circuit, Claim, Outcome, Stopped, Work};
use crate::stripe::{AccountId, FinancingTransaction, Page};

/// The kind of the jobs.
pub(super) const JOB: &str = "read_transactions";
/// Events tell of what is new at once; this finds the ones that never came.
const EVERY: Duration = Duration::from_hours(24);
/// The readings overlap by so much: Stripe's list may be behind for a while.
const OVERLAP: TimeDelta = TimeDelta::days(2);

/// Reads transactions.
#[derive(Clone, Debug)]
pub struct BackfillTransactions {
    /// Where they are kept, and whom to ask.
    pub financings: Financings,
    /// How long a claim lasts.
    pub lease: Duration,
}

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// With the last of the list, or with what the reading before had seen.
    AtTheEnd,
    /// Stripe says that more follow, and nothing that we could ask for.
    Nowhere,
    /// There is no such account on the platform, or not yet. What is known of it stays.
    NotFound,
}

impl Work for BackfillTransactions {
    const KIND: &'static str = JOB;

    #[tracing::instrument(name = "financing.read_transactions", skip_all, fields(account.id = %claim.subject))]
    async fn run(&self, claim: &Claim) -> Result<(), Stopped> {
        let account: AccountId = claim.subject.parse()?;
        let mut reading = self.begin(claim, &account).await?;
        let ended = self.read_on(claim, &account, &mut reading).await?;
        let next = if reading.is_full { FullPass::Nothing } else { FullPass::All };
        self.financings.check(&account, next).await?;
        self.end(claim, &account, &reading, ended).await
    }

    async fn give_up(
        &self,
        _tx: &mut PgConnection,
        _claim: &Claim,
        _error: &str,
    ) -> sqlx::Result<()> {
        // The dead job itself is what a person sees. A financing that begins, or a summary that differs, brings it back.
        Ok(())
    }

    fn dependencies(&self) -> &[Circuit] {
        std::slice::from_ref(self.financings.stripe.circuit())
    }
}

impl BackfillTransactions {
    /// Begins a reading, before anything is asked for, or takes up the one that was cut off.
    async fn begin(&self, claim: &Claim, account: &AccountId) -> Result<BackfillPass, Stopped> {
        let now = self.financings.clock.now();
        let mut tx = self.financings.db.begin().await?;
        queue::lock_claim(&mut *tx, claim).await?.or_stop()?;
        let reading =
            store::begin(&mut tx, account.as_str(), self.financings.livemode(), now).await?;
        tx.commit().await?;
        Ok(reading)
    }

    async fn read_on(
        &self,
        claim: &Claim,
        account: &AccountId,
        reading: &mut BackfillPass,
    ) -> Result<Ended, Stopped> {
        let mut has_begun_anew = false;
        loop {
            let after = reading.after_transaction_id.as_deref();
            let page = match self.financings.stripe.transactions(account, after).await {
                // The place to go on after is none any more.
                Err(error) if error.is_missing() && after.is_some() && !has_begun_anew => {
                    reading.begin_anew(self.financings.clock.now());
                    has_begun_anew = true;
                    continue;
                }
                Err(error) if error.is_gone() => return Ok(Ended::NotFound),
                page => page?,
            };
            if let Some(ended) = self.keep(claim, account, &page, reading).await? {
                return Ok(ended);
            }
            if claim.is_stopping() {
                return Err(Stopped::Released);
            }
        }
    }

    /// Writes a page down with how far the reading is. Says how it ended, if this was the last page.
    async fn keep(
        &self,
        claim: &Claim,
        account: &AccountId,
        page: &Page,
        reading: &mut BackfillPass,
    ) -> Result<Option<Ended>, Stopped> {
        let now = self.financings.clock.now();
        let objects: Vec<Value> = page.entries.iter().map(|entry| object(entry)).collect();
        let mut told: Vec<Observation<'_>> = objects.iter().filter_map(read).collect();
        let oldest = told.last().map(|told| told.transaction.created_at);
        // As the inbox's readers do: two who write down the same movements cannot wait for each other.
        told.sort_by(|one, other| one.transaction.id.cmp(&other.transaction.id));
        let mut tx = self.financings.db.begin().await?;
        let kept = take_in_all(&mut tx, &told, now).await?;
        queue::renew(&mut *tx, claim, self.lease, now).await?.or_stop()?;
        reading.pass_over(page.entries.len() - kept);
        let last = page.last_id();
        let ended = if !page.has_more || reading.has_come_to_what_was_seen(oldest) {
            Some(Ended::AtTheEnd)
        } else if last.is_none() {
            Some(Ended::Nowhere)
        } else {
            None
        };
        // Also after the last page: what is cut off before its end goes on from there, and finds nothing more.
        reading.after_transaction_id = last.or(reading.after_transaction_id.take());
        store::note_page(&mut *tx, account.as_str(), reading, now).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Ends the reading and, for now, the job.
    async fn end(
        &self,
        claim: &Claim,
        account: &AccountId,
        reading: &BackfillPass,
        ended: Ended,
    ) -> Result<(), Stopped> {
        let now = self.financings.clock.now();
        let mut tx = self.financings.db.begin().await?;
        queue::lock_claim(&mut *tx, claim).await?.or_stop()?;
        let is_asked_again =
            store::end(&mut *tx, account.as_str(), &reading.outcome(ended), now).await?;
        // One that was cut off for so long has missed what came on top.
        let is_late = ended == Ended::AtTheEnd && reading.started_at + EVERY <= now;
        let ending = if is_asked_again || is_late {
            Outcome::Reschedule { at: now }
        } else if reading.skipped > 0 || self.financings.is_under_way(&mut tx, account).await? {
            Outcome::Reschedule { at: now + EVERY }
        } else {
            Outcome::Done
        };
        queue::finish(&mut tx, claim, ending, now).await?.or_stop()?;
        Ok(tx.commit().await?)
    }
}

impl BackfillPass {
    fn begin_anew(&mut self, now: DateTime<Utc>) {
        (self.started_at, self.after_transaction_id, self.skipped) = (now, None, 0);
    }

    fn pass_over(&mut self, entries: usize) {
        self.skipped = self.skipped.saturating_add(i32::try_from(entries).unwrap_or(i32::MAX));
    }

    fn has_come_to_what_was_seen(&self, oldest: Option<DateTime<Utc>>) -> bool {
        let seen = self.completed_at.filter(|_| !self.is_full);
        seen.zip(oldest).is_some_and(|(seen, oldest)| oldest < seen - OVERLAP)
    }

    /// What is known after it. A reading that passed entries over has seen nothing new for sure; the next one looks for them again.
    fn outcome(&self, ended: Ended) -> PassOutcome {
        let completed_at = match ended {
            Ended::AtTheEnd if self.skipped == 0 => Some(self.started_at),
            // All the way down something was missing.
            Ended::AtTheEnd if self.is_full => None,
            Ended::AtTheEnd | Ended::Nowhere | Ended::NotFound => self.completed_at,
        };
        let unreadable = match ended {
            Ended::AtTheEnd | Ended::Nowhere => Some(self.skipped),
            Ended::NotFound => Some(0),
        };
        PassOutcome { completed_at, unreadable }
    }
}

/// Takes in movements, and says how many. One that the database will not keep costs nobody but itself.
async fn take_in_all(
    tx: &mut PgConnection,
    all: &[Observation<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    match take_in_together(&mut *tx, all, now).await {
        Err(error) if is_about_the_data(&error) => {}
        kept => return kept,
    }
    let mut kept = 0;
    for told in all {
        match take_in_together(&mut *tx, std::slice::from_ref(told), now).await {
            Ok(one) => kept += one,
            Err(error) if is_about_the_data(&error) => {
                let id = told.transaction.id.as_str();
                tracing::error!(transaction.id = id, %error, "cannot keep a transaction of Stripe's list: a person must look");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}

async fn take_in_together(
    tx: &mut PgConnection,
    all: &[Observation<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    let mut savepoint = tx.begin().await?;
    for told in all {
        if let Err(error) = take_in(&mut savepoint, told, now).await {
            savepoint.rollback().await?;
            return Err(error);
        }
    }
    savepoint.commit().await?;
    Ok(all.len())
}

/// What is no object at all, nobody can read as a transaction either.
fn object(entry: &RawValue) -> Value {
    serde_json::from_str(entry.get()).unwrap_or_default()
}

fn read(object: &Value) -> Option<Observation<'_>> {
    match FinancingTransaction::deserialize(object) {
        Ok(transaction) => Some(Observation { transaction, object }),
        Err(error) => {
            tracing::error!(%error, "cannot read a transaction of Stripe's list: a person must look");
            None
        }
    }
}
