//! The lists of events at Stripe. Each event that is new goes to the inbox, as if from a webhook.

use bytes::Bytes;
use chrono::TimeDelta;

use super::store::{self, Counts};
use super::{Incomplete, Reconcile, next_page, skip_unreadable, stop_requested};
use crate::database::is_about_the_data;
use crate::flow::inbox::{self, Arrival, StoreResult};
use crate::queue::Claim;
use crate::stripe::EventList;
use crate::telemetry::chain;

/// Events are listed again for this long before the last complete run: Stripe may list an event
/// some time after the moment that it names.
const OVERLAP: TimeDelta = TimeDelta::hours(1);

/// Webhooks arrive within seconds. A younger event may still be on its way.
const WEBHOOK_TIME: TimeDelta = TimeDelta::minutes(5);

impl Reconcile {
    /// Imports the events that Stripe could not deliver, and all events since the last complete
    /// run: an event that no endpoint was registered for counts as delivered. Older events than
    /// those of the first run are not needed, because the listing of all offers and the backfill
    /// of transactions read their outcome.
    pub(super) async fn import_missed_events(
        &self,
        claim: &Claim,
        counts: &mut Counts,
    ) -> Result<(), Incomplete> {
        self.import_events(EventList::Undelivered, claim, counts).await?;
        let started = store::last_complete_start(&self.db, self.clock.now()).await?;
        let since = started.unwrap_or_else(|| self.clock.now()) - OVERLAP;
        self.import_events(EventList::CreatedSince(since), claim, counts).await
    }

    async fn import_events(
        &self,
        list: EventList,
        claim: &Claim,
        counts: &mut Counts,
    ) -> Result<(), Incomplete> {
        let mut after: Option<String> = None;
        loop {
            let page = self.stripe.events(list, after.as_deref()).await?;
            for entry in &page.entries {
                counts.events_seen += 1;
                let bytes = Bytes::copy_from_slice(entry.get().as_bytes());
                match Arrival::parse(bytes, self.clock.now()) {
                    Ok(arrival) => match inbox::store::store(&self.db, &arrival).await {
                        Ok(StoreResult::Inserted) => {
                            counts.events_new += 1;
                            let is_late = arrival
                                .created_at
                                .is_some_and(|at| at < arrival.received_at - WEBHOOK_TIME);
                            counts.events_missed += i64::from(is_late);
                        }
                        Ok(StoreResult::Duplicate) => {}
                        Err(error) if is_about_the_data(&error) => {
                            skip_unreadable("an event", &chain(&error), &mut counts.unreadable);
                        }
                        Err(error) => return Err(error.into()),
                    },
                    Err(error) => skip_unreadable("an event", &error, &mut counts.unreadable),
                }
            }
            self.inbox.notify();
            after = next_page(&page)?;
            if after.is_none() {
                return Ok(());
            }
            stop_requested(claim)?;
        }
    }
}
