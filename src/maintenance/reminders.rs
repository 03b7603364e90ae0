//! The `remind` job: opens the reminders that are due, for delivered offers that the merchant has
//! not applied for. [`crate::letters::reminders`] says which are due. Uses the database only;
//! `send_letter` checks the offer at Stripe before every letter.
//!
//! One replica runs at a time ([`Periodic`]). Nothing is scheduled ahead, so a changed setting
//! applies to every open offer at once, and an offer that ends leaves nothing to clean up. A run
//! that stops half-way leaves whole pages; the next run finds the rest.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::clock::Clock;
use crate::consent::opt_outs::store::opted_out_among;
use crate::database::Pool;
use crate::letters::reminders::Schedule;
use crate::letters::reminders::schedule::MIN_REMAINING;
use crate::letters::reminders::store::find_due;
use crate::letters::{self, Kind, NewLetter};
use crate::offers::store::{DeliveredPage, list_delivered};
use crate::queue::{self, AttemptError, Claim, Notifier, Periodic};

/// Reminders are days apart, so minutes do not matter.
const RUN_INTERVAL: Duration = Duration::from_mins(5);
/// Offers per transaction: few enough that the job's row is locked only briefly, even if a reminder
/// is due for each.
const PAGE: i64 = 500;

#[derive(Clone, Debug)]
pub struct OpenReminders {
    pub db: Pool,
    pub clock: Clock,
    pub schedule: Schedule,
    /// The mode of the API key; `None` if the key does not tell.
    pub livemode: Option<bool>,
    pub letters: letters::Opener,
    /// Notified when letters were opened.
    pub jobs: Notifier,
}

impl Periodic for OpenReminders {
    const KIND: &'static str = "remind";
    type Report = ();

    fn db(&self) -> &Pool {
        &self.db
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn max_pause(&self) -> Duration {
        RUN_INTERVAL
    }

    #[tracing::instrument(name = "reminders.open", skip_all)]
    async fn run(&self, claim: &Claim) -> Result<(Duration, ()), AttemptError> {
        let (mut opened, mut after) = (0, String::new());
        while self.schedule.is_enabled() && !claim.is_stopping() {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            // Fences each page: a run that lost its lease must not open letters.
            queue::lock_claim(&mut *tx, claim).await?;
            let page = DeliveredPage {
                after: &after,
                livemode: self.livemode,
                ends_after: now + MIN_REMAINING,
                limit: PAGE,
            };
            let offer_ids = list_delivered(&mut *tx, &page).await?;
            let Some(last) = offer_ids.last().cloned() else { break };
            let opened_now = self.open_due(&mut tx, &offer_ids, now).await?;
            tx.commit().await?;
            after = last;
            if opened_now > 0 {
                opened += opened_now;
                self.jobs.notify();
            }
        }
        if opened > 0 {
            tracing::info!(opened, "opened reminders");
        }
        Ok((RUN_INTERVAL, ()))
    }
}

impl OpenReminders {
    /// Opens the reminders of these offers that are due, except to accounts that opted out. Returns
    /// their number.
    async fn open_due(
        &self,
        tx: &mut PgConnection,
        offer_ids: &[String],
        now: DateTime<Utc>,
    ) -> sqlx::Result<usize> {
        let mut due = find_due(&mut *tx, offer_ids, &self.schedule, now).await?;
        let accounts: Vec<String> = due.iter().map(|letter| letter.account_id.clone()).collect();
        // An opt-out after this query is found when the letter is sent.
        let opted_out = opted_out_among(&mut *tx, &accounts).await?;
        due.retain(|letter| !opted_out.contains(&letter.account_id));
        for reminder in &due {
            let new_letter = NewLetter {
                offer_id: &reminder.offer_id,
                account_id: &reminder.account_id,
                sequence: reminder.sequence,
                kind: Kind::reminder(reminder.sequence),
                traceparent: None,
            };
            self.letters.open(&mut *tx, &new_letter, now).await?;
        }
        Ok(due.len())
    }
}
