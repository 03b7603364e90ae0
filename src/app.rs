//! Puts the parts together, runs them, and ends them.

use std::time::Duration;

use anyhow::Context;
use axum::Router;
use sqlx::PgPool;

use crate::clock::Clock;
use crate::config::Settings;
use crate::database::{self, Database};
use crate::flow::delivered::MarkDelivered;
use crate::flow::email::write::Writer;
use crate::flow::email::{self, Relay, SendLetter};
use crate::flow::inbox::Reader;
use crate::flow::webhook::{self, Webhook};
use crate::queue::{self, Bell, Runner};
use crate::shutdown::{Drained, Shutdown};
use crate::stripe::Client;
use crate::{http, ops};

/// Which parts of the service this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Webhooks and work.
    Serve,
    /// Webhooks alone.
    ServeWithoutWorker,
    /// Work alone.
    Worker,
}

/// The grace of a shutdown is over by then.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// All parts, ready to run.
pub struct App {
    database: Database,
    reader: Reader,
    letters: Runner<SendLetter>,
    marks: Runner<MarkDelivered>,
    /// Rung when an event was kept.
    inbox: Bell,
    /// Rung when a job was queued.
    jobs: Bell,
    clock: Clock,
    settings: Settings,
}

impl App {
    /// Opens the database and makes the parts. Listens and works not yet.
    pub async fn open(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let database = database::open(&settings.database).await?;
        Self::with_database(settings, clock, database)
    }

    /// Makes the parts over a database that is open.
    pub fn with_database(settings: Settings, clock: Clock, database: Database) -> anyhow::Result<Self> {
        let db = database.pool.clone();
        let (inbox, jobs) = (Bell::new(), Bell::new());
        let stripe = Client::new(settings.stripe.clone()).context("cannot make a client for Stripe")?;
        let reader = Reader {
            db: db.clone(),
            clock: clock.clone(),
            livemode: stripe.livemode(),
            message_id_domain: settings.email.from.domain().to_owned(),
            jobs: jobs.clone(),
            settings: settings.inbox,
        };
        let letters = SendLetter {
            db: db.clone(),
            clock: clock.clone(),
            stripe: stripe.clone(),
            relay: Relay::new(&settings.email.relay, settings.email.relay_timeout),
            writer: writer(&settings.email)?,
            settings: settings.email.clone(),
            max_attempts: settings.queue.max_attempts,
            jobs: jobs.clone(),
        };
        let marks = MarkDelivered { db: db.clone(), clock: clock.clone(), stripe };
        Ok(Self {
            letters: Runner::new(letters, db.clone(), clock.clone(), settings.queue),
            marks: Runner::new(marks, db, clock.clone(), settings.queue),
            database,
            reader,
            inbox,
            jobs,
            clock,
            settings,
        })
    }

    /// What `http.listen` serves.
    pub fn router(&self) -> anyhow::Result<Router> {
        let webhook = Webhook {
            db: self.database.pool.clone(),
            clock: self.clock.clone(),
            inbox: self.inbox.clone(),
            settings: self.settings.webhook.clone(),
        };
        Ok(webhook::router(webhook)?.merge(ops::router(self.database.pool.clone())))
    }

    /// The database's connections.
    pub fn db(&self) -> &PgPool {
        &self.database.pool
    }

    /// Does all the work that is due, here and now, until none is. For tests, which have no patience for polling.
    pub async fn run_due_work(&self) -> sqlx::Result<()> {
        loop {
            let done = self.reader.read_batch().await?
                + self.letters.run_due().await?
                + self.marks.run_due().await?;
            if done == 0 {
                return Ok(());
            }
        }
    }

    /// Closes the database, without waiting for ever for somebody who still holds a connection.
    pub async fn close(self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.database.close()).await.is_err() {
            tracing::warn!("somebody still holds a connection to the database");
        }
    }

    /// Listens and works until the shutdown says stop, then ends in order: no new request, no new job, what is in hand
    /// finished. Says on which address it listens for webhooks as soon as it does.
    pub async fn serve(
        &self,
        role: Role,
        shutdown: &Shutdown,
        on_ready: impl FnOnce(std::net::SocketAddr),
    ) -> anyhow::Result<Drained> {
        let header_timeout = self.settings.http.header_timeout;
        let (tracker, stop) = (&shutdown.tracker, &shutdown.soft);
        let ops_listen = http::Settings { listen: self.settings.ops.listen, header_timeout };
        let ops_listener = http::bind(&ops_listen).await?;
        tracing::info!(address = %ops_listener.local_addr()?, "operators' side listens");
        let ops_router = ops::router(self.database.pool.clone());
        tracker.spawn(http::serve(ops_listener, ops_router, header_timeout, tracker.clone(), stop.clone()));

        if role != Role::Worker {
            let listener = http::bind(&self.settings.http).await?;
            let address = listener.local_addr()?;
            tracing::info!(address = %address, "webhooks are taken at /webhooks/stripe");
            tracker.spawn(http::serve(
                listener,
                self.router()?,
                header_timeout,
                tracker.clone(),
                stop.clone(),
            ));
            on_ready(address);
        }
        if role != Role::ServeWithoutWorker {
            self.spawn_workers(shutdown);
        }
        stop.cancelled().await;
        Ok(shutdown.drain(self.settings.shutdown_grace).await)
    }

    fn spawn_workers(&self, shutdown: &Shutdown) {
        let (tracker, stop) = (&shutdown.tracker, &shutdown.soft);
        tracker.spawn(self.reader.clone().run(self.inbox.ear(), stop.clone()));
        tracker.spawn(self.letters.clone().run(self.jobs.ear(), tracker.clone(), stop.clone()));
        tracker.spawn(self.marks.clone().run(self.jobs.ear(), tracker.clone(), stop.clone()));
        // The embedded database has a single connection: a listener would keep it to itself.
        if !self.database.is_embedded() {
            let listening =
                queue::ring_on_notify(self.database.pool.clone(), self.jobs.clone(), stop.clone());
            tracker.spawn(listening);
        }
    }
}

/// Compiles the templates and renders a sample of each.
pub fn writer(settings: &email::Settings) -> anyhow::Result<Writer> {
    let wording = email::write::Settings {
        program_name: settings.program_name.clone(),
        dashboard_url: settings.dashboard_url.clone(),
        postal_address: settings.postal_address.clone(),
        from_name: settings.from.name().unwrap_or(&settings.program_name).to_owned(),
        reply_to: settings.reply_to.address().to_owned(),
    };
    Writer::new(wording).context("the letter's templates cannot be used")
}

/// Runs the service until a signal. A second signal ends it at once.
pub async fn run(settings: Settings, role: Role) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let app = App::open(settings, Clock::system()).await?;
    match app.serve(role, &shutdown, |_| {}).await? {
        Drained::All => tracing::info!("all that was in hand is finished"),
        Drained::GaveUp => tracing::warn!("stopped in the midst of work; it will be taken up again"),
    }
    app.close().await;
    Ok(())
}
