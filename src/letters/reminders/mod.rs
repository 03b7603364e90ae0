//! The `remind` job: opens the reminders that are due, for delivered offers that the merchant has
//! not applied for. Uses the database only; `send_letter` checks the offer at Stripe before every
//! letter.
//!
//! One replica runs at a time ([`Periodic`]). Nothing is scheduled ahead, so a changed setting
//! applies to every open offer at once, and an offer that ends leaves nothing to clean up.

pub mod schedule;
mod store;

use std::time::Duration;

use sqlx::PgConnection;

use super::{Kind, NewLetter};
use crate::clock::Clock;
use crate::database::Pool;
pub use schedule::{Hours, Schedule, Weekdays};

use crate::queue::{self, AttemptError, Claim, Notifier, Periodic};

/// Reminders are days apart, so minutes do not matter.
const RUN_INTERVAL: Duration = Duration::from_mins(5);
/// Maximum number of reminders per transaction.
const BATCH: i64 = 200;

#[derive(Clone, Debug)]
pub struct OpenReminders {
    pub db: Pool,
    pub clock: Clock,
    pub schedule: Schedule,
    /// The mode of the API key; `None` if the key does not tell.
    pub livemode: Option<bool>,
    /// For the Message-ID of the reminders.
    pub message_id_domain: String,
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
            let mut tx = self.db.begin().await?;
            queue::lock_claim(&mut *tx, claim).await?;
            let due = self.open_due(&mut tx, &after).await?;
            tx.commit().await?;
            let Some(last) = due.last() else { break };
            after.clone_from(&last.offer_id);
            opened += due.len();
            self.jobs.notify();
        }
        if opened > 0 {
            tracing::info!(opened, "opened reminders");
        }
        Ok((RUN_INTERVAL, ()))
    }
}

impl OpenReminders {
    async fn open_due(
        &self,
        tx: &mut PgConnection,
        after: &str,
    ) -> sqlx::Result<Vec<store::DueReminder>> {
        let now = self.clock.now();
        let page = store::ReminderPage { after, limit: BATCH };
        let due = store::find_due(&mut *tx, &self.schedule, self.livemode, &page, now).await?;
        for reminder in &due {
            let new_letter = NewLetter {
                offer_id: &reminder.offer_id,
                account_id: &reminder.account_id,
                sequence: reminder.sequence,
                kind: match reminder.sequence {
                    ..=1 => Kind::Reminder7d,
                    2 => Kind::Reminder14d,
                    3.. => Kind::ReEngagement,
                },
                message_id_domain: &self.message_id_domain,
            };
            super::open(&mut *tx, &new_letter, now).await?;
        }
        Ok(due)
    }
}
