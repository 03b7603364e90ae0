//! What `/metrics` reads from the database.

use chrono::{DateTime, Utc};
use prometheus_client::registry::Registry;

use super::metrics::{Sources, gauge, register_gauges};
use crate::database::along_indexes;
use crate::financing;
use crate::flow::{delivered, email, inbox};
use crate::maintenance::reconcile;
use crate::offers;
use crate::operators::attention::{self, Group};
use crate::queue::stats::{self, MAX_COUNTED, QueueDepth};

/// The statuses of offers that events are still expected about.
const OPEN: [&str; 4] = ["undelivered", "delivered", "accepted", "paid_out"];

#[derive(Debug)]
pub(super) struct DatabaseState {
    last_event: Option<DateTime<Utc>>,
    last_run: Option<DateTime<Utc>>,
    dead: i64,
    differing: i64,
    unreadable: i64,
    /// Unread events, and since when the oldest one waits.
    unread: (i64, Option<DateTime<Utc>>),
    queues: Vec<QueueDepth>,
    oldest_letter: Option<DateTime<Utc>>,
    oldest_delivery: Option<DateTime<Utc>>,
    offers: Vec<(String, i64)>,
    attention: Vec<Group>,
}

pub(super) async fn read(sources: &Sources) -> sqlx::Result<DatabaseState> {
    let (mut tx, now) = (along_indexes(&sources.db).await?, sources.clock.now());
    let differing_before = now - financing::summary::MAY_DIFFER_FOR;
    let state = DatabaseState {
        last_event: inbox::store::last_received(&mut *tx).await?,
        last_run: reconcile::store::last_complete(&mut *tx, now).await?,
        dead: stats::dead_count(&mut *tx).await?,
        differing: financing::summary::store::differing(&mut *tx, differing_before).await?,
        unreadable: financing::unreadable(&mut *tx).await?,
        unread: inbox::store::unread(&mut *tx, MAX_COUNTED).await?,
        queues: stats::depths(&mut *tx, &sources.job_kinds, now).await?,
        oldest_letter: stats::oldest_queued(&mut *tx, email::JOB).await?,
        oldest_delivery: stats::oldest_queued(&mut *tx, delivered::JOB).await?,
        offers: offers::store::count_by_status(&mut *tx, &OPEN, MAX_COUNTED).await?,
        attention: Vec::new(),
    };
    tx.rollback().await?;
    Ok(DatabaseState { attention: attention::read(&sources.db, now, 1).await?, ..state })
}

impl DatabaseState {
    pub(super) fn register(&self, registry: &mut Registry) {
        // 0 if it never happened: an age of half a century triggers any alert.
        let seconds = |at: Option<DateTime<Utc>>| at.map_or(0, |at| at.timestamp());
        for (name, help, value) in [
            (
                "last_event_timestamp_seconds",
                "When Stripe's last event was stored",
                seconds(self.last_event),
            ),
            (
                "last_complete_reconciliation_timestamp_seconds",
                "When reconciliation with Stripe last completed",
                seconds(self.last_run),
            ),
            ("jobs_dead", "Dead jobs: they need attention", self.dead),
            (
                "accounts_differing",
                "Accounts whose ledger has differed from Stripe's summary for an hour",
                self.differing,
            ),
            (
                "transactions_unreadable",
                "Entries of Stripe's transaction lists that the last pass could not read or store",
                self.unreadable,
            ),
            ("inbox_unread", "Unread events; counted up to 10000", self.unread.0),
        ] {
            gauge(registry, name, help, value);
        }
        self.register_queues(registry);
        self.register_attention(registry);
        let help =
            "Offers by status, for those that events are expected about; counted up to 10000";
        let offers =
            self.offers.iter().map(|(status, count)| (vec![("status", status.clone())], *count));
        register_gauges(registry, "offers_open", help, offers);
    }

    /// A kind that nothing waits in has no sample.
    fn register_attention(&self, registry: &mut Registry) {
        let of_kind = |group: &Group| ("kind", group.kind.as_str().to_owned());
        let counts = self
            .attention
            .iter()
            .map(|group| (vec![of_kind(group), ("reason", group.reason.clone())], group.count));
        let help = "What waits for an operator, by kind and reason";
        register_gauges(registry, "attention", help, counts);
        // The groups of a kind share one sample: the last one set, so the longest waiting.
        let mut groups: Vec<&Group> = self.attention.iter().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.since));
        let oldest =
            groups.into_iter().map(|group| (vec![of_kind(group)], group.since.timestamp()));
        let help = "Since when the oldest of its kind waits for an operator";
        register_gauges(registry, "attention_oldest_timestamp_seconds", help, oldest);
    }

    /// A series of a timestamp is absent while nothing waits.
    fn register_queues(&self, registry: &mut Registry) {
        let of_kind = |queue: &QueueDepth| vec![("kind", queue.kind.clone())];
        let help = "Queued jobs, those due later included; counted up to 10000";
        let queued = self.queues.iter().flat_map(|queue| {
            [("normal", queue.queued), ("low", queue.queued_low)].map(|(priority, jobs)| {
                (vec![("kind", queue.kind.clone()), ("priority", priority.to_owned())], jobs)
            })
        });
        register_gauges(registry, "jobs_queued", help, queued);
        let help = "Jobs that a worker has claimed, by kind";
        let claimed = self.queues.iter().map(|queue| (of_kind(queue), queue.claimed));
        register_gauges(registry, "jobs_claimed", help, claimed);
        let help = "Since when the oldest due job waits for a worker";
        let due = self.queues.iter();
        let due = due.filter_map(|queue| Some((of_kind(queue), queue.oldest_due_at?.timestamp())));
        register_gauges(registry, "jobs_oldest_due_timestamp_seconds", help, due);
        let oldest = |at: Option<DateTime<Utc>>| at.map(|at| (Vec::new(), at.timestamp()));
        let help = "When the oldest unread event was stored";
        let unread = oldest(self.unread.1);
        register_gauges(registry, "inbox_oldest_unread_timestamp_seconds", help, unread);
        let help = "Since when the longest waiting first letter is queued, however often postponed";
        let letter = oldest(self.oldest_letter);
        register_gauges(registry, "letters_oldest_waiting_timestamp_seconds", help, letter);
        let help = "Since when the longest waiting report to Stripe of a sent letter is queued";
        let delivery = oldest(self.oldest_delivery);
        register_gauges(registry, "deliveries_oldest_waiting_timestamp_seconds", help, delivery);
    }
}
