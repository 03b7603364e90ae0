//! Personal data go when they have done their work: what letters said and to whom, addresses that the platform named, and events as they
//! came. The proof of what was sent
//! stays (`flow::email::evidence`): Stripe wants marketing material, distribution lists and opt-outs kept for five years
//! (<https://docs.stripe.com/capital/regulatory-compliance>).
//!
//! A [`Periodic`] job, in small transactions that stand in nobody's way. What is left of a letter is
//! its ids, states and times, and of an event its id, so that it is known when it comes again.

mod store;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::clock::Clock;
use crate::consent::contact_overrides;
use crate::database::Pool;
use crate::flow::inbox;
use crate::letters;
use crate::queue::{self, Claim, Periodic, Stopped};
use crate::stripe::Client;

/// What may be a year old can be a year and an hour old; the body of an event, a year and a day.
const EVERY: Duration = Duration::from_hours(1);
/// Erasing cannot be undone, so Stripe's clock must have agreed within this time.
const AGREED_WITHIN: Duration = Duration::from_hours(1);
/// Until Stripe's clock can be asked again.
const AFTER_DOUBT: Duration = Duration::from_mins(10);
/// Rows that one transaction takes: short enough to stand in nobody's way.
const BATCH: i64 = 500;

/// Takes out personal data.
#[derive(Clone, Debug)]
pub struct EraseExpired {
    /// Where they are.
    pub db: Pool,
    /// How old they are.
    pub clock: Clock,
    /// Whose time confirms the clock before anything is erased.
    pub stripe: Client,
    /// How old they may become; none: they stay.
    pub personal_data: Option<Duration>,
}

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Erased {
    /// Letters whose words and recipient are gone.
    pub letters: u64,
    /// Events whose body is gone.
    pub events: u64,
    /// Addresses that the platform named.
    pub contacts: u64,
    /// Proofs whose bytes and recipient are gone; their hashes stay.
    pub proofs: u64,
    /// Visits to the Capital section that were ended.
    pub visits: u64,
    /// Letters that were passed over, because they are being handed over or may be sent yet.
    pub left: u64,
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
        EVERY
    }

    #[tracing::instrument(name = "retention.erase", skip_all)]
    async fn run(&self, claim: &Claim) -> Result<(Duration, ()), Stopped> {
        // Bodies are kept without it: they go to the default partition.
        if let Err(error) = inbox::bodies::create_partitions(&self.db, self.clock.now()).await {
            tracing::warn!(error = %error, "cannot create partitions for the bodies of events");
        }
        let Some(age) = self.personal_data else { return Ok((EVERY, ())) };
        let Some(now) = self.confirmed_now().await else {
            tracing::warn!(
                retry.in_seconds = AFTER_DOUBT.as_secs(),
                "erased nothing: the database's clock could not be confirmed by Stripe's"
            );
            return Ok((AFTER_DOUBT, ()));
        };
        let before = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
        let mut erased = Erased::default();
        while let Some(before) = before.filter(|_| !claim.is_stopping()) {
            let mut tx = self.db.begin().await?;
            queue::still_held(&mut *tx, claim).await?.or_stop()?;
            let letters = store::erase_letters(&mut *tx, before, BATCH, now).await?;
            let events = inbox::bodies::store::erase_from_default(&mut *tx, before, BATCH).await?;
            let contacts = store::erase_contacts(&mut *tx, before, BATCH).await?;
            tx.commit().await?;
            if letters + events + contacts == 0 {
                break;
            }
            erased.letters += letters;
            erased.events += events;
            erased.contacts += contacts;
        }
        let days = match before {
            Some(before) => self.drop_bodies(claim, before).await,
            None => 0,
        };
        if erased != Erased::default() || days > 0 {
            tracing::info!(
                letters = erased.letters,
                events = erased.events,
                events.days = days,
                contacts = erased.contacts,
                "erased expired personal data"
            );
        }
        Ok((EVERY, ()))
    }
}

impl EraseExpired {
    /// The present, where Stripe's clock agrees with it; asks Stripe where that was not done lately.
    async fn confirmed_now(&self) -> Option<DateTime<Utc>> {
        let now = self.clock.confirmed_now(AGREED_WITHIN);
        if now.is_some() {
            return now;
        }
        // The client passes the date of the answer to the clock, whatever else the answer says.
        let _ = self.stripe.probe().await;
        self.clock.confirmed_now(AGREED_WITHIN)
    }

    /// Drops the bodies of events by the day. Returns the number of days.
    async fn drop_bodies(&self, claim: &Claim, before: DateTime<Utc>) -> usize {
        let mut dropped = 0;
        let drop_all = async {
            for day in inbox::bodies::store::partitions_before(&self.db, before).await? {
                // A transaction each, and none for long: webhooks wait while a partition goes.
                if claim.is_stopping()
                    || !inbox::bodies::store::drop_partition(&self.db, day).await?
                {
                    break;
                }
                dropped += 1;
            }
            Ok::<(), sqlx::Error>(())
        };
        // Everything else is done, and a role without the right to do this never gets it by trying.
        if let Err(error) = drop_all.await {
            tracing::warn!(error = %error, "cannot drop the bodies of expired events");
        }
        dropped
    }
}

/// Takes out what there is of an account, in the caller's transaction: letters that have not left are withdrawn; those that have lose
/// their words and their recipient, and with `with_proof` so do the proofs, of which the hash of the message and of the address stay.
/// Whoever is looking at its Capital section has to come by the dashboard again.
/// A letter that is being handed over is passed over, and counted: run it again when that is settled. Opt-outs stay as they are: the
/// account may be written to about its next offer, unless it opted out. Run again it finds nothing.
pub async fn erase_account(
    tx: &mut PgConnection,
    account_id: &str,
    with_proof: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<Erased> {
    letters::withdraw_for_account(&mut *tx, account_id, now).await?;
    let letters = store::erase_letters_of(&mut *tx, account_id, now).await?;
    let events = inbox::bodies::store::erase_account(&mut *tx, account_id).await?;
    let contacts = u64::from(contact_overrides::delete(&mut *tx, account_id).await?);
    let visits = store::end_visits_of(&mut *tx, account_id).await?;
    let proofs = if with_proof { store::erase_proofs_of(&mut *tx, account_id).await? } else { 0 };
    let left = store::count_left_of(&mut *tx, account_id).await?;
    Ok(Erased { letters, events, contacts, proofs, visits, left })
}

/// Whether anything is recorded about an account, erased or not.
pub async fn is_known(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    store::is_known(db, account_id).await
}

/// How many messages to an account the proof still holds, with their words and recipients.
pub async fn messages_kept(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<u64> {
    store::messages_kept(db, account_id).await
}
