//! Assembles the parts of the service, runs them and stops them.

mod announce;
mod listen;
mod metrics;
mod parts;
mod startup_checks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::middleware::from_fn_with_state;
use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::checks::{CheckParts, DatabasePart};
use crate::clock::Clock;
use crate::config::Settings;
use crate::database::{self, Database, Pool, RETRY_INTERVAL};
use crate::financing::{BackfillTransactions, Financings};
use crate::flow::delivered::MarkDelivered;
use crate::flow::email::{ExpectedRecipients, SendLetter};
use crate::flow::inbox::{self, InboxReader, InboxWriter};
use crate::flow::offer::{LookUpOffers, OfferFinder, RefreshOffer};
use crate::flow::webhook::{self, SecretId, Webhook};
use crate::http;
use crate::http::metrics::measure;
use crate::http::rate::Rate;
use crate::letters::pauses::SeenPauses;
use crate::letters::wording::approvals;
use crate::mail::RelayMetrics;
use crate::maintenance::clock_sync::ClockSync;
use crate::maintenance::reconcile::store::FullListing;
use crate::maintenance::reconcile::{self, Reconcile};
use crate::maintenance::reminders::OpenReminders;
use crate::maintenance::replicas;
use crate::maintenance::retention::EraseExpired;
#[cfg(feature = "demo")]
use crate::queue::stats::{self, QueueDepth};
use crate::queue::{self, Circuit, Notifier, Periodic, Runner, Work};
use crate::shutdown::{Drained, Shutdown};
use crate::stripe::Client;
use crate::telemetry::{chain, traces};
use crate::web::api::{self, Api, BannerSource, Platform};
use crate::web::feedback::{self, Inbound};
use crate::web::ops;
use crate::web::portal::{self, Portal};
use metrics::Metrics;
use parts::{Resources, wording_part_of};

pub use parts::{check_wording, copies, disclaimers, samples, wording_part, writer};

/// What this process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// HTTP and jobs.
    Serve,
    /// HTTP without jobs.
    ServeWithoutWorker,
    /// Jobs, without public HTTP.
    Worker,
}

/// For connections that are still in use. The grace period of the shutdown is over by then.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

pub struct App {
    database: Database,
    readers: Vec<InboxReader>,
    letters: Arc<Runner<SendLetter>>,
    mark_delivered: Arc<Runner<MarkDelivered>>,
    refresh_offers: Arc<Runner<RefreshOffer>>,
    look_up_offers: Arc<Runner<LookUpOffers>>,
    finder: OfferFinder,
    reconcile: Reconcile,
    reconciling: Arc<Runner<Reconcile>>,
    transactions: Arc<Runner<BackfillTransactions>>,
    financings: Financings,
    retain: EraseExpired,
    retaining: Arc<Runner<EraseExpired>>,
    remind: OpenReminders,
    reminding: Arc<Runner<OpenReminders>>,
    stripe: Client,
    /// Stripe's and the relay's.
    circuits: [Circuit; 2],
    /// Notified when an event was stored.
    inbox: Notifier,
    /// Notified when a job was queued.
    jobs: Notifier,
    /// Requests per API key.
    rate: Rate,
    /// Account Links per account, created by the portal and by the API.
    links: Rate,
    /// New subscriptions per account by the link in its letters.
    resubscribe_rate: Rate,
    pauses: SeenPauses,
    /// What banners carry beside an offer.
    banners: Arc<BannerSource>,
    metrics: Arc<Metrics>,
    relay_metrics: Box<RelayMetrics>,
    clock: Clock,
    settings: Settings,
}

impl App {
    /// Opens the database and builds the parts. [`App::serve`] starts them.
    pub async fn open(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let database = database::open_for_service(&settings.database).await?;
        Self::on_database(settings, clock, database).await
    }

    /// As [`App::open`], on a database that is open already.
    pub async fn on_database(
        settings: Settings,
        clock: Clock,
        database: Database,
    ) -> anyhow::Result<Self> {
        clock.follow(
            database::measure_clock_at_start(&database.pool, settings.database.start_timeout)
                .await
                .context("cannot read the time of the database")?,
        );
        // Not left to the retention job, which another replica may run in an hour.
        if let Err(error) = inbox::bodies::create_partitions(&database.pool, clock.now()).await {
            tracing::warn!(
                error = chain(&error),
                "cannot create partitions for the bodies of events"
            );
        }
        Self::with_database(settings, clock, database)
    }

    /// As [`App::on_database`], for tests: the clock is the caller's, and there is no maintenance.
    pub fn with_database(
        settings: Settings,
        clock: Clock,
        database: Database,
    ) -> anyhow::Result<Self> {
        let resources = Resources::new(&settings, &clock, &database)?;
        // The embedded database has one connection.
        let readers = if database.is_embedded() { 1 } else { inbox::READERS };
        let queue = settings.queue;
        let few = queue::Settings { concurrency: 2, ..queue };
        let one = queue::Settings { concurrency: 1, ..queue };
        let reconcile = resources.reconcile(settings.reconcile_every);
        let remind = resources.remind(settings.email.schedule);
        let retain = resources.retain(settings.personal_data_for);
        let letters = resources.letters(&settings)?;
        let relay_metrics = Box::new(letters.relay.metrics().clone());
        let banners = BannerSource {
            writer: letters.writer.clone(),
            disclaimers: letters.disclaimers.clone(),
            locale_metadata_key: settings.email.locale_metadata_key.clone(),
        };
        Ok(Self {
            retaining: resources.runner(retain.clone(), one),
            retain,
            readers: resources.readers(readers, settings.inbox),
            letters: resources.runner(letters, queue),
            banners: Arc::new(banners),
            mark_delivered: resources.runner(resources.mark_delivered(), queue),
            refresh_offers: resources.runner(resources.refresh_offers(), few),
            look_up_offers: resources.runner(resources.look_up_offers(), few),
            finder: resources.finder(),
            reconciling: resources.runner(reconcile.clone(), one),
            reconcile,
            transactions: resources
                .runner(resources.transactions(settings.summary_for, queue.lease), one),
            financings: resources.financings(settings.summary_for),
            reminding: resources.runner(remind.clone(), one),
            remind,
            circuits: [resources.stripe.circuit().clone(), resources.to_relay],
            stripe: resources.stripe,
            inbox: resources.inbox,
            metrics: resources.metrics,
            relay_metrics,
            jobs: resources.jobs,
            rate: Rate::per_second(settings.api.requests_per_second, clock.clone()),
            links: portal::account_link_rate(clock.clone()),
            resubscribe_rate: portal::resubscribe_rate(clock.clone()),
            pauses: resources.pauses,
            database,
            clock,
            settings,
        })
    }

    /// What `http.listen` serves.
    pub fn router(&self) -> anyhow::Result<Router> {
        let measured = from_fn_with_state(self.metrics.requests.clone(), measure);
        Ok(self.routes()?.route_layer(measured))
    }

    fn routes(&self) -> anyhow::Result<Router> {
        let webhook = Webhook {
            clock: self.clock.clone(),
            inbox: InboxWriter::new(self.database.pool.clone(), self.inbox.clone()),
            metrics: self.metrics.webhook.clone(),
            settings: self.settings.webhook.clone(),
        };
        let router = webhook::router(webhook)?
            .merge(ops::router(self.database.pool.clone(), self.clock.clone()))
            .merge(api::router(self.platform()))
            .merge(feedback::router(self.inbound()?));
        let router = match &self.settings.portal {
            None => router,
            Some(settings) => router.merge(self.section(settings)?),
        };
        let Some(links) = self.settings.email.links.clone() else { return Ok(router) };
        let unsubscribe = portal::Unsubscribe {
            db: self.database.pool.clone(),
            clock: self.clock.clone(),
            links,
            resubscribe_rate: self.resubscribe_rate.clone(),
            brand: (*self.settings.email.brand).clone(),
        };
        let page = portal::unsubscribe_router(unsubscribe)
            .context("cannot use the template of the unsubscribe page")?;
        Ok(router.merge(page))
    }

    pub fn financings(&self) -> &Financings {
        &self.financings
    }

    fn section(&self, settings: &portal::Settings) -> anyhow::Result<Router> {
        let portal = Portal {
            db: self.database.pool.clone(),
            clock: self.clock.clone(),
            financings: self.financings.clone(),
            finder: self.finder.clone(),
            disclaimers: disclaimers(&self.settings.email)?,
            links: self.links.clone(),
            settings: settings.clone(),
        };
        portal::router(portal).context("cannot use a template of the Capital section")
    }

    fn api(&self) -> Api {
        Api {
            db: self.database.pool.clone(),
            clock: self.clock.clone(),
            read_timeout: self.settings.webhook.read_timeout,
        }
    }

    fn platform(&self) -> Platform {
        let (financings, settings) = (self.financings.clone(), self.settings.api.clone());
        let (rate, links, finder) = (self.rate.clone(), self.links.clone(), self.finder.clone());
        let banners = self.banners.clone();
        Platform { api: self.api(), financings, finder, settings, banners, rate, links }
    }

    fn inbound(&self) -> anyhow::Result<Inbound> {
        let (copy, counts) = (self.settings.email.sender.bcc.clone(), self.metrics.reports.clone());
        let inbound = Inbound::new(self.api(), copy, counts, &self.settings.inbound);
        inbound.context("cannot create the HTTP client for Amazon")
    }

    /// Looks up who would get a letter now.
    pub fn expected_recipients(&self) -> ExpectedRecipients {
        ExpectedRecipients {
            db: self.database.pool.clone(),
            clock: self.clock.clone(),
            stripe: self.financings.accounts.clone(),
            livemode: self.stripe.livemode(),
            allow_support_address: self.settings.email.allow_support_address,
        }
    }

    /// What [`checks`](crate::checks) look at, of this process.
    pub fn check_parts(&self) -> CheckParts {
        let settings = &self.settings;
        // Compiled already: reading the templates again would take a part of the start.
        let BannerSource { writer, disclaimers, .. } = &*self.banners;
        let wording = wording_part_of(writer.clone(), disclaimers.clone(), &settings.email);
        CheckParts {
            clock: self.clock.clone(),
            database: Some(DatabasePart {
                pool: self.database.pool.clone(),
                is_embedded: self.database.is_embedded(),
                migrates_on_start: settings.database.migrate_on_start,
            }),
            webhook_secrets: settings.webhook.secrets.iter().map(SecretId::of).collect(),
            stripe: Some(self.stripe.clone()),
            wording: Some(Ok(wording)),
            email: Some(settings.email.clone()),
            relay: Some(settings.relay.clone()),
            public_url: Some(settings.public_url.clone()),
        }
    }

    pub fn db(&self) -> &Pool {
        &self.database.pool
    }

    /// Processes the inbox and all due jobs until none is left. For tests, which do not poll.
    pub async fn run_due_work(&self) -> sqlx::Result<()> {
        loop {
            let done = self.read_inbox().await?
                + self.refresh_offers.run_due().await?
                + self.look_up_offers.run_due().await?
                + self.letters.run_due().await?
                + self.mark_delivered.run_due().await?;
            if done == 0 {
                return Ok(());
            }
        }
    }

    /// Whether every event is read, and no job is due or under way. For the demo.
    #[cfg(feature = "demo")]
    pub async fn is_idle(&self) -> sqlx::Result<bool> {
        let (unread, _) = inbox::store::unread(&self.database.pool, 1).await?;
        let kinds = metrics::JOB_KINDS;
        let depths = stats::depths(&self.database.pool, &kinds, self.clock.now()).await?;
        let is_idle = |depth: &QueueDepth| depth.oldest_due_at.is_none() && depth.claimed == 0;
        Ok(unread == 0 && depths.iter().all(is_idle))
    }

    /// Processes one batch of each share of the inbox. Returns the number of events.
    pub async fn read_inbox(&self) -> sqlx::Result<usize> {
        let read = try_join_all(self.readers.iter().map(InboxReader::read_batch)).await?;
        Ok(read.into_iter().sum())
    }

    /// Asks for a listing of all offers at Stripe, which the next run of reconciliation begins or
    /// continues.
    pub async fn request_listing(&self) -> sqlx::Result<()> {
        let (db, now) = (&self.database.pool, self.clock.now());
        reconcile::store::request_listing(db, self.stripe.livemode(), now).await
    }

    /// The listing of all offers that began last.
    pub async fn newest_listing(&self) -> sqlx::Result<Option<FullListing>> {
        reconcile::store::newest_listing(&self.database.pool, self.stripe.livemode()).await
    }

    /// Reconciles with Stripe now. `false` if another process is doing it.
    pub async fn reconcile_now(&self) -> sqlx::Result<bool> {
        self.reconcile.schedule().await?;
        self.reconciling.run_now(queue::SUBJECT).await
    }

    /// Reads the transactions of all accounts that are due; returns how many.
    pub async fn read_transactions(&self) -> sqlx::Result<usize> {
        self.transactions.run_due().await
    }

    /// Erases expired personal data now. `false` if another process is doing it.
    pub async fn erase_now(&self) -> sqlx::Result<bool> {
        self.retain.schedule().await?;
        self.retaining.run_now(queue::SUBJECT).await
    }

    /// Creates the reminders that are due now. `false` if another process is doing it.
    pub async fn remind_now(&self) -> sqlx::Result<bool> {
        self.remind.schedule().await?;
        self.reminding.run_now(queue::SUBJECT).await
    }

    /// Closes the database. Does not wait longer than `CLOSE_TIMEOUT` for open connections.
    pub async fn close(self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.database.close()).await.is_err() {
            tracing::warn!("closed the database while a connection was in use");
        }
    }

    /// Serves HTTP and processes jobs until the shutdown begins. Then accepts no new request and
    /// claims no new job, and waits for the running ones. Calls `on_ready` with the public address
    /// once it is listening.
    pub async fn serve(
        &self,
        role: Role,
        shutdown: &Shutdown,
        on_ready: impl FnOnce(std::net::SocketAddr),
    ) -> anyhow::Result<Drained> {
        let (tracker, stop) = (&shutdown.tracker, &shutdown.soft);
        // What can fail comes before the first task, so that an error leaves no task running.
        let (ops, public) = (self.ops_server().await?, self.public_server(role).await?);
        self.announce(ops.address, public.as_ref().map(|public| public.address));
        shutdown.spawn_vital("operators' side", ops.serve(tracker, stop));
        if let Some(public) = public {
            let address = public.address;
            shutdown.spawn_vital("webhooks", public.serve(tracker, stop));
            on_ready(address);
        }
        startup_checks::check_pauses(&self.database.pool, &self.pauses).await;
        // The response also carries Stripe's time, so the clock is checked before the first job is
        // claimed. Without a response, the leases of other processes still hold for their duration.
        stop.run_until_cancelled(startup_checks::check_api_key(&self.stripe)).await;
        if role != Role::ServeWithoutWorker {
            self.spawn_workers(shutdown);
        }
        shutdown.spawn_vital("clock", self.clock_sync().run(stop.clone()));
        stop.cancelled().await;
        let (grace, began) = (self.settings.shutdown_grace, Instant::now());
        let drained = shutdown.drain(grace).await;
        traces::flush(grace.saturating_sub(began.elapsed())).await;
        match shutdown.failed_task() {
            Some(part) => {
                Err(anyhow::anyhow!("the task `{part}` ended unexpectedly: see the log above"))
            }
            None => Ok(drained),
        }
    }

    fn clock_sync(&self) -> ClockSync {
        let (db, clock, stripe) =
            (self.database.pool.clone(), self.clock.clone(), self.stripe.clone());
        ClockSync { db, clock, stripe }
    }

    fn spawn_workers(&self, shutdown: &Shutdown) {
        let (tracker, stop) = (&shutdown.tracker, &shutdown.soft);
        for reader in &self.readers {
            shutdown.spawn_vital("inbox", reader.clone().run(self.inbox.listen(), stop.clone()));
        }
        self.spawn_runner(shutdown, "letters", &self.letters);
        self.spawn_runner(shutdown, "mark_delivered", &self.mark_delivered);
        self.spawn_runner(shutdown, "refresh_offers", &self.refresh_offers);
        self.spawn_runner(shutdown, "look_up_offers", &self.look_up_offers);
        self.spawn_runner(shutdown, "transactions", &self.transactions);
        self.spawn_runner(shutdown, "retention", &self.retaining);
        self.spawn_runner(shutdown, "reminders", &self.reminding);
        tracker.spawn(self.retry_held_letters(stop.clone()));
        shutdown.spawn_vital("reconcile", self.keep_reconciling(tracker.clone(), stop.clone()));
        let db = self.database.pool.clone();
        if self.database.can_listen() {
            let listening = queue::notify_on_insert(db.clone(), self.jobs.clone(), stop.clone());
            shutdown.spawn_vital("notifications", listening);
        }
        // No other process can use the embedded database.
        if !self.database.is_embedded() {
            let (clock, stripe) = (self.clock.clone(), self.stripe.clone());
            shutdown.spawn_vital("replicas", replicas::register(db, clock, stripe, stop.clone()));
        }
    }

    fn spawn_runner<W: Work>(
        &self,
        shutdown: &Shutdown,
        name: &'static str,
        runner: &Arc<Runner<W>>,
    ) {
        let (tracker, stop) = (shutdown.tracker.clone(), shutdown.soft.clone());
        shutdown
            .spawn_vital(name, runner.clone().run(self.jobs.listen_for(W::KIND), tracker, stop));
    }

    /// Creates the periodic jobs before it runs them. Retries while the database is unavailable.
    fn keep_reconciling(
        &self,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (reconcile, runner, listener) = (
            self.reconcile.clone(),
            self.reconciling.clone(),
            self.jobs.listen_for(<Reconcile as Periodic>::KIND),
        );
        let (remind, retain) = (self.remind.clone(), self.retain.clone());
        let (db, jobs) = (self.database.pool.clone(), self.jobs.clone());
        async move {
            let prepare = async || {
                reconcile.schedule().await?;
                remind.schedule().await?;
                retain.schedule().await
            };
            while let Err(error) = prepare().await {
                db.health().report(&error, "cannot schedule the periodic jobs");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY_INTERVAL) => {}
                }
            }
            jobs.notify();
            runner.run(listener, tracker, stop).await;
        }
    }

    /// Retries the letters that are held for a disclaimer or an approval, which may exist by now.
    /// There may be thousands, so the start does not wait.
    fn retry_held_letters(
        &self,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (db, clock, jobs) = (self.database.pool.clone(), self.clock.clone(), self.jobs.clone());
        async move {
            let retry = async {
                while let Err(error) = approvals::retry_held(&db, clock.now()).await {
                    db.health().report(&error, "cannot retry held letters");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                jobs.notify();
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = retry => {}
            }
        }
    }
}

/// Runs the service until a signal. A second signal ends the process immediately.
pub async fn run(settings: Settings, role: Role) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    http::raise_descriptor_limit();
    // A signal must also stop a process that is waiting for the database.
    let app = tokio::select! {
        app = App::open(settings, Clock::system()) => app?,
        () = shutdown.soft.cancelled() => return Ok(()),
    };
    if role != Role::ServeWithoutWorker {
        // In the background, because it takes longer than the rest of the start; untracked, because
        // a shutdown need not wait for it.
        let (settings, banners) = (app.settings.email.clone(), app.banners.clone());
        TaskTracker::new().spawn_blocking(move || {
            let BannerSource { writer, disclaimers, .. } = &*banners;
            if let Err(error) = startup_checks::check_wording(&settings, writer, disclaimers) {
                tracing::error!(
                    error = chain(error.as_ref()),
                    "cannot check the wording of the emails"
                );
            }
        });
    }
    let served = app.serve(role, &shutdown, |_| {}).await;
    // Also after an error: the embedded database would keep the process alive.
    app.close().await;
    match served? {
        Drained::All => tracing::info!("stopped: all running work is finished"),
        Drained::GaveUp => {
            tracing::warn!("stopped before running work finished: it will be resumed");
        }
    }
    Ok(())
}
