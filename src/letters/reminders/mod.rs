//! The job that opens reminders: it looks through the offers that merchants were told of and have not applied for, and opens the letter
//! that is due. Touches the database alone; `send_letter` looks at Stripe before anything goes out, as for every letter.
//!
//! One run at a time over all replicas ([`Periodic`]). Nothing is planned
//! ahead, so a switch that is turned means what it says for every open offer, and an offer that ends leaves nothing to clear away.

pub mod schedule;
mod store;

use std::time::Duration;

use sqlx::PgConnection;

use super::{Kind, Opening};
use crate::clock::Clock;
use crate::database::Pool;
pub use schedule::{Hours, Schedule, Weekdays};

use crate::queue::{self, Claim, Notifier, Periodic, Stopped};

/// Reminders are a matter of days.
const EVERY: Duration = Duration::from_mins(5);
/// Opened in one transaction.
const BATCH: i64 = 200;

/// Opens reminders.
#[derive(Clone, Debug)]
pub struct OpenReminders {
    /// Where offers and letters are.
    pub db: Pool,
    /// When they are due.
    pub clock: Clock,
    /// Which of them there are.
    pub schedule: Schedule,
    /// Live or test, as the key says; none where it does not say.
    pub livemode: Option<bool>,
    /// The domain of their Message-ID.
    pub message_id_domain: String,
    /// Rung when a letter was opened.
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
        EVERY
    }

    #[tracing::instrument(name = "reminders.open", skip_all)]
    async fn run(&self, claim: &Claim) -> Result<(Duration, ()), Stopped> {
        let (mut opened, mut after) = (0, String::new());
        while self.schedule.reminds() && !claim.is_stopping() {
            let mut tx = self.db.begin().await?;
            queue::still_held(&mut *tx, claim).await?.or_stop()?;
            let due = self.open_due(&mut tx, &after).await?;
            tx.commit().await?;
            let Some(last) = due.last() else { break };
            after.clone_from(&last.offer_id);
            opened += due.len();
            self.jobs.notify();
        }
        if opened > 0 {
            tracing::info!(opened, "reminders are due");
        }
        Ok((EVERY, ()))
    }
}

impl OpenReminders {
    async fn open_due(&self, tx: &mut PgConnection, after: &str) -> sqlx::Result<Vec<store::Due>> {
        let now = self.clock.now();
        let page = store::Page { after, most: BATCH };
        let due = store::find_due(&mut *tx, &self.schedule, self.livemode, &page, now).await?;
        for reminder in &due {
            let opening = Opening {
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
            super::open(&mut *tx, &opening, now).await?;
        }
        Ok(due)
    }
}
