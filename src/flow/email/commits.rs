//! The two commits of every letter that leaves, each in one transaction with those of other letters
//! that are at the same step: `sending` before the relay gets the message, and `sent` with its answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;

use super::decide::{SkipReason, is_announced_by};
use super::recipient::NoRecipient;
use super::to_delivered;
use crate::clock::Clock;
use crate::consent::suppression::AddressHash;
use crate::consent::{self, Objection};
use crate::database::{GroupCommit, Grouped, Pool};
use crate::letters::pauses::{self, Pause};
use crate::letters::reason::NOT_APPROVED;
use crate::letters::store::{Content, Letter};
use crate::letters::transition::{self, Begun, NewAttempt};
use crate::mail::mime::AssembledMessage;
use crate::offers;
use crate::queue::{self, Claim};
use crate::stripe::OfferStatus;
use crate::telemetry::traces;

/// Clones share the groups.
#[derive(Clone, Debug)]
pub struct LetterCommits {
    begin: GroupCommit<Begin>,
    sent: GroupCommit<RecordSent>,
}

/// A letter that is ready to leave.
#[derive(Debug)]
pub(super) struct Ready {
    /// As it is once sending has begun.
    pub(super) letter: Letter,
    pub(super) content: Content,
    pub(super) message: AssembledMessage,
}

/// Why sending did not begin.
#[derive(Debug)]
pub(super) enum NotBegun {
    LeaseLost,
    Skip(SkipReason),
}

impl LetterCommits {
    /// `lease`: as in [`queue::Settings`].
    pub fn new(db: &Pool, clock: &Clock, lease: Duration) -> Self {
        Self {
            begin: GroupCommit::new(db.clone(), Begin { clock: clock.clone(), lease }),
            sent: GroupCommit::new(db.clone(), RecordSent { clock: clock.clone() }),
        }
    }

    /// Commits `sending`, with a full lease ahead. Every letter passes here before it leaves. This
    /// is the fence: a worker that was paused for longer than its lease fails here, before anything
    /// is sent. The checks cover what changed since Stripe was read: an ended offer, an opt-out, a
    /// suppressed address, a pause, a withdrawn approval. Their writers either withdraw the waiting
    /// letter or commit before these reads.
    pub(super) async fn begin(
        &self,
        claim: &Claim,
        ready: &Arc<Ready>,
    ) -> sqlx::Result<Result<(), NotBegun>> {
        self.begin.run(Beginning { claim: claim.clone(), ready: Arc::clone(ready) }).await
    }

    /// Records the relay's acceptance and requests the report to Stripe. False if the lease was
    /// lost, and nothing recorded.
    pub(super) async fn record_sent(
        &self,
        claim: &Claim,
        ready: &Arc<Ready>,
        answer: &str,
    ) -> sqlx::Result<bool> {
        let (claim, ready) = (claim.clone(), Arc::clone(ready));
        let (answer, traceparent) = (answer.to_owned(), traces::traceparent());
        self.sent.run(Sent { claim, ready, answer, traceparent }).await
    }
}

#[derive(Debug)]
struct Begin {
    clock: Clock,
    lease: Duration,
}

#[derive(Debug)]
struct Beginning {
    claim: Claim,
    ready: Arc<Ready>,
}

impl Grouped for Begin {
    type Operation = Beginning;
    type Output = Result<(), NotBegun>;

    async fn run(
        &self,
        tx: &mut PgConnection,
        letters: &[&Beginning],
    ) -> sqlx::Result<Vec<Result<(), NotBegun>>> {
        let now = self.clock.now();
        let claims: Vec<&Claim> = letters.iter().map(|letter| &letter.claim).collect();
        // The fence comes first: without the lease, nothing below may be written.
        let held = queue::renew_all(&mut *tx, &claims, self.lease, now).await?;
        let obstacles = Obstacles::read(&mut *tx, letters).await?;
        let mut outcomes: Vec<Result<(), NotBegun>> = (0..)
            .zip(letters.iter().zip(held))
            .map(|(position, (letter, is_held))| {
                if is_held {
                    obstacles.check(position, &letter.ready).map_err(NotBegun::Skip)
                } else {
                    Err(NotBegun::LeaseLost)
                }
            })
            .collect();
        let (free, outcomes_of_free): (Vec<&&Beginning>, Vec<_>) =
            letters.iter().zip(&mut outcomes).filter(|(_, outcome)| outcome.is_ok()).unzip();
        let attempts: Vec<NewAttempt<'_>> = free
            .iter()
            .map(|letter| {
                let Ready { letter, content, message } = &*letter.ready;
                NewAttempt { letter, content, message: &message.bytes }
            })
            .collect();
        let begun = transition::begin_all(tx, &attempts, now).await?;
        for (outcome, begun) in outcomes_of_free.into_iter().zip(begun) {
            *outcome = match begun {
                Begun::Sending => Ok(()),
                Begun::NotWaiting => Err(NotBegun::Skip(SkipReason::NotWaiting)),
                Begun::NotApproved => Err(NotBegun::Skip(SkipReason::Hold(NOT_APPROVED))),
            };
        }
        Ok(outcomes)
    }

    fn before_commit(&self) {
        crate::crash::point("letters.before_sending_commit");
    }

    fn after_commit(&self) {
        crate::crash::point("letters.after_sending_commit");
    }
}

/// What may keep letters from leaving, as of the transaction.
struct Obstacles {
    statuses: HashMap<String, OfferStatus>,
    acknowledged: HashSet<String>,
    objections: Vec<Option<Objection>>,
    pauses: Vec<Pause>,
}

impl Obstacles {
    async fn read(tx: &mut PgConnection, letters: &[&Beginning]) -> sqlx::Result<Self> {
        let offers: Vec<String> =
            letters.iter().map(|letter| letter.ready.letter.offer_id.clone()).collect();
        // Locks the offers' rows against status changes until the commit.
        let statuses = offers::sets::lock_statuses_shared(&mut *tx, &offers).await?;
        let delivered: Vec<String> = statuses
            .iter()
            .filter(|(_, status)| **status == OfferStatus::Delivered)
            .map(|(offer, _)| offer.clone())
            .collect();
        let acknowledged = to_delivered::delivered_among(&mut *tx, &delivered).await?;
        let recipients: Vec<(&str, AddressHash)> = letters
            .iter()
            .map(|letter| {
                let Ready { letter, content, .. } = &*letter.ready;
                (letter.account_id.as_str(), AddressHash::of(&content.recipient))
            })
            .collect();
        let objections = consent::objections(&mut *tx, &recipients).await?;
        let pauses = pauses::lock_in_force(tx).await?;
        Ok(Self { statuses, acknowledged, objections, pauses })
    }

    /// `Err` with what keeps the letter at this position from leaving.
    fn check(&self, position: usize, ready: &Ready) -> Result<(), SkipReason> {
        let Ready { letter, content, .. } = ready;
        if let Some(status) = self.statuses.get(&letter.offer_id)
            && status.is_past_undelivered()
            && !is_announced_by(letter, status, self.acknowledged.contains(&letter.offer_id))
        {
            return Err(SkipReason::Withdraw(format!("offer_{status}")));
        }
        match self.objections[position] {
            None => {}
            Some(Objection::OptedOut) => return Err(SkipReason::Suppress),
            Some(Objection::Suppressed) => {
                let address = AddressHash::of(&content.recipient);
                return Err(SkipReason::HoldWithoutRecipient(NoRecipient::Suppressed(address)));
            }
        }
        match self.pauses.iter().find(|pause| pause.stops(content)) {
            None => Ok(()),
            Some(pause) => Err(SkipReason::Paused(Box::new(pause.clone()))),
        }
    }
}

#[derive(Debug)]
struct RecordSent {
    clock: Clock,
}

#[derive(Debug)]
struct Sent {
    claim: Claim,
    ready: Arc<Ready>,
    answer: String,
    traceparent: Option<String>,
}

impl Grouped for RecordSent {
    type Operation = Sent;
    type Output = bool;

    async fn run(&self, tx: &mut PgConnection, sent: &[&Sent]) -> sqlx::Result<Vec<bool>> {
        let now = self.clock.now();
        let claims: Vec<&Claim> = sent.iter().map(|sent| &sent.claim).collect();
        // The fence comes first: without the lease, nothing below may be written.
        let held = queue::finish_all(&mut *tx, &claims, now).await?;
        let recorded = queue::held_among(sent, &held);
        let answers: Vec<(&Letter, &str)> =
            recorded.iter().map(|sent| (&sent.ready.letter, sent.answer.as_str())).collect();
        transition::record_all_sent(&mut *tx, &answers, now).await?;
        // Stripe accepts one delivery per offer, so reminders do not report any.
        let first: Vec<to_delivered::SentLetter<'_>> = recorded
            .iter()
            .filter(|sent| sent.ready.letter.sequence == 0)
            .map(|sent| (&sent.ready.letter, sent.traceparent.as_deref()))
            .collect();
        to_delivered::hand_over(tx, &first, now).await?;
        Ok(held)
    }

    fn before_commit(&self) {
        crate::crash::point("letters.before_sent_commit");
    }

    fn after_commit(&self) {
        crate::crash::point("letters.after_sent_commit");
    }
}
