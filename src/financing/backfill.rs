//! The job that reads an account's transactions from Stripe's list: those that predate this service
//! and those whose event was lost. One job per account reads page by page; after a crash it resumes
//! at the last committed page.
//!
//! ```text
//! begin ─▶ page ─▶ page ─▶ … ─▶ sums ─▶ discounts ─▶ summary comparison ─▶ end
//! ```
//!
//! The first pass reads the whole list. Later passes run daily while a financing is under way or an
//! entry was skipped, and stop at what the previous pass has seen. If the totals differ from
//! Stripe's summary, a pass runs at once; if the difference remains, a full pass follows.
//!
//! Locks are taken in this order: transactions by id, the coverage of their sums, the job, the
//! progress of the backfill.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use sqlx::{Connection as _, PgConnection};

use super::backfill_progress::{self, BackfillPass, PassOutcome};
use super::backfill_requests::JOB;
use super::summary::FollowUp;
use super::sums::Coverage;
use super::{Financings, ObservedTransaction, record_all};
use crate::database::is_about_the_data;
use crate::queue::{self, AttemptError, Circuit, Claim, Outcome, Work};
use crate::stripe::{AccountId, FinancingTransaction, Page, Received};

/// The pause between passes. Events report new transactions; a pass finds lost ones.
const INTERVAL: Duration = Duration::from_hours(24);
/// Passes overlap, because Stripe's list may lag behind its events.
const OVERLAP: TimeDelta = TimeDelta::days(2);

/// Reads the transactions of an account.
#[derive(Clone, Debug)]
pub struct BackfillTransactions {
    pub financings: Financings,
    /// How long a claim lasts; renewed with each page.
    pub lease: Duration,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PassEnd {
    /// At the end of the list, or at what the previous pass has seen.
    Reached,
    /// Stripe reports more entries, but the last one has no id to continue after.
    NoCursor,
    /// The account does not exist on the platform, or not yet. Stored transactions remain.
    NotFound,
}

impl Work for BackfillTransactions {
    const KIND: &'static str = JOB;

    #[tracing::instrument(
        name = "financing.backfill_transactions",
        skip_all,
        fields(account.id = %claim.subject)
    )]
    async fn run(&self, claim: &Claim) -> Result<(), AttemptError> {
        let account: AccountId = claim.subject.parse()?;
        let mut pass = self.begin(claim, &account).await?;
        let ended = self.read_pages(claim, &account, &mut pass).await?;
        self.keep_sums(claim, &account).await?;
        // Which financing a refill discounted depends on all transactions before.
        if ended == PassEnd::Reached && pass.skipped == 0 {
            self.financings.record_discounts(&account).await?;
        }
        let next = if pass.is_full { FollowUp::None } else { FollowUp::Full };
        self.financings.check_summary(&account, next).await?;
        self.end(claim, &account, &pass, ended).await
    }

    async fn give_up(
        &self,
        _tx: &mut PgConnection,
        _claim: &Claim,
        _error: &str,
    ) -> sqlx::Result<()> {
        // The dead job is visible to operators. A new financing or a difference requeues it.
        Ok(())
    }

    fn dependencies(&self) -> &[Circuit] {
        std::slice::from_ref(self.financings.stripe.circuit())
    }
}

impl BackfillTransactions {
    /// Starts or resumes a pass, before the first request to Stripe.
    async fn begin(
        &self,
        claim: &Claim,
        account: &AccountId,
    ) -> Result<BackfillPass, AttemptError> {
        let now = self.financings.clock.now();
        let mut tx = self.financings.db.begin().await?;
        // Fence: a worker that lost its claim must not touch the progress of its successor.
        queue::lock_claim(&mut *tx, claim).await?;
        let pass =
            backfill_progress::begin(&mut tx, account.as_str(), self.financings.livemode(), now)
                .await?;
        tx.commit().await?;
        Ok(pass)
    }

    async fn read_pages(
        &self,
        claim: &Claim,
        account: &AccountId,
        pass: &mut BackfillPass,
    ) -> Result<PassEnd, AttemptError> {
        let mut has_restarted = false;
        loop {
            let after = pass.after_transaction_id.as_deref();
            let page = match self.financings.stripe.transactions(account, after).await {
                // The transaction to continue after is gone: restart, once.
                Err(error) if error.is_missing() && after.is_some() && !has_restarted => {
                    pass.restart(self.financings.clock.now());
                    has_restarted = true;
                    continue;
                }
                Err(error) if error.is_gone() => return Ok(PassEnd::NotFound),
                page => page?,
            };
            if let Some(ended) = self.store_page(claim, account, &page, pass).await? {
                return Ok(ended);
            }
            if claim.is_stopping() {
                return Err(AttemptError::Released);
            }
        }
    }

    /// Stores a page together with the progress. Returns how the pass ended, if this was the last
    /// page.
    async fn store_page(
        &self,
        claim: &Claim,
        account: &AccountId,
        page: &Page,
        pass: &mut BackfillPass,
    ) -> Result<Option<PassEnd>, AttemptError> {
        let now = self.financings.clock.now();
        let received: Vec<Received<FinancingTransaction>> =
            page.entries.iter().filter_map(|entry| read(entry)).collect();
        let transactions: Vec<ObservedTransaction<'_>> = received
            .iter()
            .map(|one| ObservedTransaction { transaction: &one.object, object: &one.json })
            .collect();
        let oldest = transactions.last().map(|last| last.transaction.created_at);
        let mut tx = self.financings.db.begin().await?;
        let recorded = record_each(&mut tx, &transactions, now).await?;
        // After the transactions, by the lock order above.
        queue::renew(&mut *tx, claim, self.lease, now).await?;
        pass.skip(page.entries.len() - recorded);
        let last = page.last_id();
        let ended = if !page.has_more || pass.has_overlapped(oldest) {
            Some(PassEnd::Reached)
        } else if last.is_none() {
            Some(PassEnd::NoCursor)
        } else {
            None
        };
        // Saved after the last page as well: a crash before `end` resumes there and reads nothing.
        pass.after_transaction_id = last.or(pass.after_transaction_id.take());
        backfill_progress::save(&mut *tx, account.as_str(), pass, now).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Keeps the sums of an account with very many movements: the pass may have found them, and a
    /// day's events have arrived since the last one.
    async fn keep_sums(&self, claim: &Claim, account: &AccountId) -> Result<(), AttemptError> {
        while self.financings.keep_sums(account).await? == Coverage::Extended {
            let now = self.financings.clock.now();
            queue::renew(&self.financings.db, claim, self.lease, now).await?;
            if claim.is_stopping() {
                return Err(AttemptError::Released);
            }
        }
        Ok(())
    }

    /// Ends the pass, and finishes or reschedules the job.
    async fn end(
        &self,
        claim: &Claim,
        account: &AccountId,
        pass: &BackfillPass,
        ended: PassEnd,
    ) -> Result<(), AttemptError> {
        let now = self.financings.clock.now();
        let mut tx = self.financings.db.begin().await?;
        queue::lock_claim(&mut *tx, claim).await?;
        let is_requested_again =
            backfill_progress::end(&mut *tx, account.as_str(), &pass.outcome(ended), now).await?;
        // A pass that was interrupted for a day has missed the newest entries.
        let is_late = ended == PassEnd::Reached && pass.started_at + INTERVAL <= now;
        let ending = if is_requested_again || is_late {
            Outcome::Reschedule { at: now }
        } else if pass.skipped > 0 || self.financings.is_under_way(&mut tx, account).await? {
            Outcome::Reschedule { at: now + INTERVAL }
        } else {
            Outcome::Done
        };
        queue::finish(&mut *tx, claim, ending, now).await?;
        Ok(tx.commit().await?)
    }
}

impl BackfillPass {
    fn restart(&mut self, now: DateTime<Utc>) {
        (self.started_at, self.after_transaction_id, self.skipped) = (now, None, 0);
    }

    fn skip(&mut self, entries: usize) {
        self.skipped = self.skipped.saturating_add(i32::try_from(entries).unwrap_or(i32::MAX));
    }

    fn has_overlapped(&self, oldest: Option<DateTime<Utc>>) -> bool {
        let seen = self.completed_at.filter(|_| !self.is_full);
        seen.zip(oldest).is_some_and(|(seen, oldest)| oldest < seen - OVERLAP)
    }

    /// What to store at the end. A pass that skipped entries does not advance `completed_at`, so
    /// the next one reads them again.
    fn outcome(&self, ended: PassEnd) -> PassOutcome {
        let completed_at = match ended {
            PassEnd::Reached if self.skipped == 0 => Some(self.started_at),
            // A full pass has skipped entries of any age, so the next one must be full as well.
            PassEnd::Reached if self.is_full => None,
            PassEnd::Reached | PassEnd::NoCursor | PassEnd::NotFound => self.completed_at,
        };
        let unreadable = match ended {
            PassEnd::Reached | PassEnd::NoCursor => Some(self.skipped),
            PassEnd::NotFound => Some(0),
        };
        PassOutcome { completed_at, unreadable }
    }
}

/// Records transactions and returns how many. A transaction that the database rejects is skipped.
async fn record_each(
    tx: &mut PgConnection,
    all: &[ObservedTransaction<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    match record_set(&mut *tx, all, now).await {
        // One of them is invalid: retry one by one, in the order of their ids, to store the others.
        Err(error) if is_about_the_data(&error) => {}
        recorded => return recorded,
    }
    let mut sorted = all.to_vec();
    sorted.sort_by(|one, other| one.transaction.id.cmp(&other.transaction.id));
    let mut recorded = 0;
    for one in &sorted {
        match record_set(&mut *tx, std::slice::from_ref(one), now).await {
            Ok(count) => recorded += count,
            Err(error) if is_about_the_data(&error) => {
                let id = one.transaction.id.as_str();
                tracing::error!(
                    transaction.id = id, %error,
                    "cannot store a transaction from Stripe's list"
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(recorded)
}

async fn record_set(
    tx: &mut PgConnection,
    all: &[ObservedTransaction<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    // A savepoint, so that an invalid row does not abort the caller's transaction.
    let mut savepoint = tx.begin().await?;
    if let Err(error) = record_all(&mut savepoint, all, now).await {
        savepoint.rollback().await?;
        return Err(error);
    }
    savepoint.commit().await?;
    Ok(all.len())
}

fn read(entry: &RawValue) -> Option<Received<FinancingTransaction>> {
    match Received::read(entry) {
        Ok(transaction) => Some(transaction),
        Err(error) => {
            tracing::error!(%error, "cannot read a transaction from Stripe's list");
            None
        }
    }
}
