//! Erases expired personal data: the content and recipients of letters, contact overrides and the
//! bodies of events. Deletes jobs that have been done for a while.
//!
//! Evidence of what was sent stays ([`evidence`]), because Stripe requires marketing
//! material, distribution lists and opt-outs to be kept for five years
//! (<https://docs.stripe.com/capital/regulatory-compliance>).
//!
//! A [`Periodic`] job in short transactions. A letter keeps its ids, states and times; an event
//! keeps its id, so that a repeated delivery is still recognized. Each module erases its own
//! tables; this one decides when, in which order and in which transaction.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::clock::Clock;
use crate::consent::{contact_overrides, opt_outs};
use crate::database::Pool;
use crate::financing::{self, BackfillTransactions};
use crate::flow::delivered::{self, MarkDelivered};
use crate::flow::email::SendLetter;
use crate::flow::inbox;
use crate::flow::offer::RefreshOffer;
use crate::letters::{erasure, evidence};
use crate::offers;
use crate::queue::{self, AttemptError, Claim, Periodic, Work};
use crate::stripe::Client;
use crate::telemetry::chain;

/// Data outlives its retention period by at most this; the body of an event, by one day more.
const INTERVAL: Duration = Duration::from_hours(1);
/// Erasure cannot be undone, so Stripe's clock must have confirmed ours within this time.
const MAX_CONFIRMATION_AGE: Duration = Duration::from_hours(1);
/// The pause after a run that found the clock unconfirmed.
const UNCONFIRMED_RETRY: Duration = Duration::from_mins(10);
/// Rows of each table per transaction: few enough that row locks are short.
const BATCH: i64 = 500;
/// How long a done job stays for operators: longer than the three days for which Stripe repeats an
/// event.
const DONE_JOBS_STAY: TimeDelta = TimeDelta::days(7);
/// The kinds whose done jobs leave, because the letter, the delivery or the progress of the backfill
/// says that the work was done, or a done job is queued again anyway. A `look_up` stays: its key is
/// all that says that Stripe was asked about an unknown account.
const LEAVING: [&str; 4] =
    [SendLetter::KIND, MarkDelivered::KIND, RefreshOffer::KIND, BackfillTransactions::KIND];

#[derive(Clone, Debug)]
pub struct EraseExpired {
    pub db: Pool,
    pub clock: Clock,
    /// Confirms the clock before anything is erased.
    pub stripe: Client,
    /// The retention period. `None` keeps personal data forever.
    pub personal_data: Option<Duration>,
}

/// Numbers of erased rows. The JSON names are those of `account erase --json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Erased {
    pub letters: u64,
    /// Events whose body was erased.
    pub events: u64,
    pub contacts: u64,
    /// Delivery attempts whose message and recipient were erased; their hashes stay.
    #[serde(rename = "proofs")]
    pub evidence: u64,
    /// Sessions of the Capital section. Set by the caller of [`erase_account`].
    #[serde(rename = "visits")]
    pub sessions: u64,
    /// Letters that were not erased because they are being sent.
    #[serde(rename = "left")]
    pub skipped: u64,
}

impl Periodic for EraseExpired {
    const KIND: &'static str = "retain";
    type Report = ();

    fn db(&self) -> &Pool {
        &self.db
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn max_pause(&self) -> Duration {
        INTERVAL
    }

    #[tracing::instrument(name = "retention.erase", skip_all)]
    async fn run(&self, claim: &Claim) -> Result<(Duration, ()), AttemptError> {
        // Not fatal: without a partition, bodies go to the default one.
        if let Err(error) = inbox::bodies::create_partitions(&self.db, self.clock.now()).await {
            tracing::warn!(
                error = chain(&error),
                "cannot create partitions for the bodies of events"
            );
        }
        self.delete_done_jobs(claim).await?;
        let Some(age) = self.personal_data else { return Ok((INTERVAL, ())) };
        let Some(now) = self.confirmed_now().await else {
            tracing::warn!(
                retry.in_seconds = UNCONFIRMED_RETRY.as_secs(),
                "erased nothing: the database's clock could not be confirmed by Stripe's"
            );
            return Ok((UNCONFIRMED_RETRY, ()));
        };
        // A period that reaches before the first representable time expires nothing.
        let before = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
        if let Some(before) = before {
            let (letters, events) = self.erase_letters_and_events(claim, before, now).await?;
            let contacts = self.erase_contacts(claim, before).await?;
            let days = self.drop_bodies(claim, before).await;
            if letters + events + contacts > 0 || days > 0 {
                tracing::info!(
                    letters,
                    events,
                    events.days = days,
                    contacts,
                    "erased expired personal data"
                );
            }
        }
        Ok((INTERVAL, ()))
    }
}

impl EraseExpired {
    /// The present, if Stripe's clock confirms it. Asks Stripe if the last confirmation is too old.
    async fn confirmed_now(&self) -> Option<DateTime<Utc>> {
        let now = self.clock.confirmed_now(MAX_CONFIRMATION_AGE);
        if now.is_some() {
            return now;
        }
        // The client passes the date of any response to the clock, so the result does not matter.
        let _ = self.stripe.probe().await;
        self.clock.confirmed_now(MAX_CONFIRMATION_AGE)
    }

    /// Needs no confirmed clock: a job that leaves early is missed by operators only.
    async fn delete_done_jobs(&self, claim: &Claim) -> Result<(), AttemptError> {
        let (before, mut deleted) = (self.clock.now() - DONE_JOBS_STAY, 0);
        for kind in LEAVING {
            let mut from = DateTime::UNIX_EPOCH;
            while !claim.is_stopping()
                && let Some((jobs, last)) =
                    queue::delete_done(&self.db, kind, from, before, BATCH).await?
            {
                deleted += jobs;
                from = last;
            }
        }
        if deleted > 0 {
            tracing::info!(jobs = deleted, "deleted jobs that were done long ago");
        }
        Ok(())
    }

    async fn erase_letters_and_events(
        &self,
        claim: &Claim,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(u64, u64), AttemptError> {
        let (mut letters, mut events) = (0, 0);
        while !claim.is_stopping() {
            let mut tx = self.db.begin().await?;
            // Fences each batch: a run that lost its lease must not erase beside its successor.
            queue::lock_claim(&mut *tx, claim).await?;
            let batch = (
                erasure::erase_expired(&mut *tx, before, BATCH, now).await?,
                inbox::bodies::store::erase_from_default(&mut *tx, before, BATCH).await?,
            );
            tx.commit().await?;
            if batch == (0, 0) {
                break;
            }
            letters += batch.0;
            events += batch.1;
        }
        Ok((letters, events))
    }

    /// Deletes overrides that are older than `before`, except those of accounts with a letter that
    /// is newer or may still be sent.
    async fn erase_contacts(
        &self,
        claim: &Claim,
        before: DateTime<Utc>,
    ) -> Result<u64, AttemptError> {
        let (mut erased, mut after) = (0, String::new());
        while !claim.is_stopping() {
            let mut tx = self.db.begin().await?;
            queue::lock_claim(&mut *tx, claim).await?;
            let expired =
                contact_overrides::lock_older_than(&mut tx, before, &after, BATCH).await?;
            // Pages by id, because accounts in use stay and would fill every following batch.
            let Some(last) = expired.last().cloned() else { break };
            let in_use = erasure::accounts_in_use(&mut *tx, &expired, before).await?;
            let unused: Vec<String> =
                expired.into_iter().filter(|account| !in_use.contains(account)).collect();
            erased += contact_overrides::delete_all(&mut *tx, &unused).await?;
            tx.commit().await?;
            after = last;
        }
        Ok(erased)
    }

    /// Drops the partitions of expired days. Returns the number of days.
    async fn drop_bodies(&self, claim: &Claim, before: DateTime<Utc>) -> usize {
        let mut dropped = 0;
        let drop_all = async {
            for day in inbox::bodies::store::partitions_before(&self.db, before).await? {
                // One short transaction each, because webhooks wait while a partition is dropped.
                if claim.is_stopping()
                    || !inbox::bodies::store::drop_partition(&self.db, day).await?
                {
                    break;
                }
                dropped += 1;
            }
            Ok::<(), sqlx::Error>(())
        };
        // Does not fail the run: all else is erased, and a role that lacks the right to drop
        // partitions does not gain it by a retry.
        if let Err(error) = drop_all.await {
            tracing::warn!(error = chain(&error), "cannot drop the bodies of expired events");
        }
        dropped
    }
}

/// Erases the personal data of an account, in the caller's transaction, and withdraws its unsent
/// letters. `with_evidence` also erases messages and addresses from the evidence, which keeps their
/// hashes. Opt-outs stay. A letter that is being sent is skipped and counted; a second call, after
/// its outcome is known, erases it. Otherwise a second call finds nothing.
///
/// Sessions of the Capital section belong to `web::portal`, which lies above this module: the
/// caller ends them in the same transaction.
pub async fn erase_account(
    tx: &mut PgConnection,
    account_id: &str,
    with_evidence: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<Erased> {
    // First, because only letters in a final state are erased.
    erasure::withdraw_for_account(&mut *tx, account_id, now).await?;
    let letters = erasure::erase_account(&mut *tx, account_id, now).await?;
    let events = inbox::bodies::store::erase_account(&mut *tx, account_id).await?;
    let contacts = u64::from(contact_overrides::delete(&mut *tx, account_id).await?);
    let mut evidence = 0;
    if with_evidence {
        // First: it allows this transaction to change evidence.
        evidence = evidence::store::erase_account(&mut *tx, account_id).await?;
        evidence += delivered::erase_references(&mut *tx, account_id).await?;
    }
    let skipped = erasure::count_unerased(&mut *tx, account_id).await?;
    Ok(Erased { letters, events, contacts, evidence, sessions: 0, skipped })
}

/// Whether anything is recorded about an account, erased or not; its sessions aside.
pub async fn is_known(db: &Pool, account_id: &str) -> sqlx::Result<bool> {
    Ok(offers::store::knows_account(db, account_id).await?
        || erasure::knows_account(db, account_id).await?
        || evidence::store::knows_account(db, account_id).await?
        || inbox::store::knows_account(db, account_id).await?
        || contact_overrides::find(db, account_id).await?.is_some()
        || opt_outs::store::knows_account(db, account_id).await?
        || financing::knows_account(db, account_id).await?)
}
