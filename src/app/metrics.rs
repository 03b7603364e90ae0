//! The families of metrics that the parts of this process fill.

use std::sync::Arc;

use super::App;
use crate::financing::BackfillTransactions;
use crate::flow::delivered::{DeliveryMetrics, MarkDelivered};
use crate::flow::email::{LetterMetrics, SendLetter};
use crate::flow::inbox::InboxMetrics;
use crate::flow::offer::{LookUpOffers, RefreshOffer};
use crate::flow::webhook::WebhookMetrics;
use crate::http::metrics::RequestMetrics;
use crate::maintenance::reconcile::Reconcile;
use crate::maintenance::reminders::OpenReminders;
use crate::maintenance::retention::EraseExpired;
use crate::queue::{JobMetrics, Work};
use crate::telemetry::metrics::Registry;
use crate::web::feedback::ReportCounts;
use crate::web::ops;

/// Those that no other part holds. Stripe's client, the relay and the database pool have their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    pub(super) requests: RequestMetrics,
    pub(super) webhook: WebhookMetrics,
    pub(super) inbox: Arc<InboxMetrics>,
    pub(super) jobs: JobMetrics,
    pub(super) letters: LetterMetrics,
    pub(super) deliveries: DeliveryMetrics,
    pub(super) reports: ReportCounts,
}

pub(super) const JOB_KINDS: [&str; 8] = [
    <SendLetter as Work>::KIND,
    <MarkDelivered as Work>::KIND,
    <RefreshOffer as Work>::KIND,
    <LookUpOffers as Work>::KIND,
    <BackfillTransactions as Work>::KIND,
    <Reconcile as Work>::KIND,
    <OpenReminders as Work>::KIND,
    <EraseExpired as Work>::KIND,
];

impl App {
    /// What `/metrics` shows.
    pub fn metric_sources(&self) -> ops::Sources {
        ops::Sources {
            db: self.database.pool.clone(),
            clock: self.clock.clone(),
            circuits: self.circuits.to_vec(),
            job_kinds: JOB_KINDS.to_vec(),
            counted: Arc::new(self.counted()),
        }
    }

    fn counted(&self) -> Registry {
        let mut registry = Registry::with_prefix("courier");
        let Metrics { requests, webhook, inbox, jobs, letters, deliveries, reports } =
            &*self.metrics;
        requests.register(&mut registry);
        webhook.register(&mut registry);
        inbox.register(&mut registry);
        jobs.register(&mut registry);
        letters.register(&mut registry);
        deliveries.register(&mut registry);
        reports.register(&mut registry);
        self.stripe.metrics().register(&mut registry);
        self.relay_metrics.register(&mut registry);
        self.database.pool.health().metrics().register(&mut registry);
        registry
    }
}
