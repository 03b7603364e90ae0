//! The demo: the service as under `serve`, with a simulated Stripe, an embedded Postgres and a mail
//! server in the same process, and one address for the browser. Its state survives a restart.
//!
//! | file | owns |
//! |---|---|
//! | `story` | the merchants, and what happened before the first visit |
//! | `courier` | runs of the service, which can be killed |
//! | `shell` | the one address: tabs and a reverse proxy |
//! | `mail` | the mail server and the mailbox |
//! | `brand`, `settings`, `secrets` | what the platform chooses |
//! | `feed` | what happens, as lines of the terminal |

mod brand;
mod courier;
mod feed;
pub mod mail;
mod secrets;
mod settings;
mod shell;
mod story;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use stripe_simulator::{
    Options as SimulatorOptions, PlatformDashboard, Simulator, TimeSource, WebhookEndpoint,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::app::{App, Role};
use crate::clock::Clock;
use crate::http;
use crate::shutdown::Shutdown;
use crate::telemetry;
use crate::web::api::{Scope, keys};
use brand::DemoBrand;
use courier::Service;
use mail::Sink;
use secrets::Secrets;
use settings::{AUDIENCE, Surroundings, settings};
use shell::Shell;
use story::{NewLetter, Today, Watched};

/// What the user chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ends once the offers of today are delivered.
    pub once: bool,
    /// The folder for the database, the emails and the simulator's state.
    pub dir: PathBuf,
    /// The address for the browser.
    pub listen: SocketAddr,
    /// As `SMTP_URL`; `None`: the demo's own mail server.
    pub relay: Option<String>,
    /// The name of the program.
    pub brand: Option<String>,
    /// `#rrggbb`
    pub color: Option<String>,
    pub logo: Option<PathBuf>,
    pub logo_dark: Option<PathBuf>,
    /// The service's log, as `RUST_LOG`; `None`: no log.
    pub log: Option<String>,
}

/// Where the demo shows what it does.
pub trait Screen: Send + Sync + 'static {
    /// What it is doing now; replaces the text before it.
    fn progress(&self, text: &str);
    /// A line that stays.
    fn line(&self, text: &str);
    /// The address is ready: opens a browser where there is one.
    fn open(&self, address: &Url);
}

/// The offers of today take a second or two.
const DELIVERY_TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// From a kill to the next start, as with an orchestrator.
const RESTART_AFTER: Duration = Duration::from_secs(3);
/// In the folder while its first start is under way.
const INCOMPLETE: &str = "incomplete";
const STATE: &str = "stripe.json";

/// The parts of a running demo.
struct Demo {
    dir: PathBuf,
    brand: DemoBrand,
    secrets: Secrets,
    simulator: Simulator,
    sink: Arc<Sink>,
    service: Arc<Service>,
    clock: Clock,
    screen: Arc<dyn Screen>,
    tasks: TaskTracker,
}

/// Runs until the first signal, or with [`Options::once`] until the offers of today are delivered.
/// Returns whether they were; of a folder that has been used before, whether the demo started.
pub async fn run(options: Options, screen: Arc<dyn Screen>) -> anyhow::Result<bool> {
    let began = Instant::now();
    let shutdown = Shutdown::on_signals()?;
    let dir = std::path::absolute(&options.dir)?;
    let listener = listen(options.listen).await?;
    let is_first = prepare(&dir)?;
    let brand = DemoBrand::new(&options)?;
    let secrets = Secrets::of(&dir)?;
    screen.line(&format!("  {} demo: everything here is simulated. Ctrl-C ends it.", brand.name));
    screen.progress("Starting Postgres");

    let clock = Clock::system();
    if is_first {
        story::rewind(&clock);
    }
    let (simulator, sink) =
        (start_simulator(&clock, &secrets.stripe_key).await?, Sink::start(dir.join("mail"))?);
    let relay = options.relay.clone().unwrap_or_else(|| sink.url());
    let settings = settings(&Surroundings {
        dir: &dir,
        shell: listener.local_addr()?,
        stripe: simulator.base_url().to_string(),
        relay,
        brand: &brand,
        secrets: &secrets,
        log: options.log.as_deref().unwrap_or("off"),
    })?;
    telemetry::init(&settings.telemetry);
    let service = Service::new(settings, clock.clone()).await?;
    let demo = Demo {
        dir,
        brand,
        secrets,
        simulator,
        sink: Arc::new(sink),
        service: Arc::new(service),
        clock,
        screen,
        tasks: TaskTracker::new(),
    };
    let outcome = tokio::select! {
        outcome = demo.begin(is_first, listener, began) => outcome,
        () = shutdown.soft.cancelled() => Ok(false),
    };
    if !options.once && outcome.is_ok() {
        shutdown.soft.cancelled().await;
    }
    demo.end().await;
    outcome
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    if !address.ip().is_loopback() {
        bail!("the demo signs its visitors in, so it listens on this machine alone: 127.0.0.1");
    }
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: if another demo is running, stop it; or use --listen")
    })
}

/// Whether this is the folder's first use. Files of a first start that did not end are removed.
fn prepare(dir: &Path) -> anyhow::Result<bool> {
    let (state, incomplete, postgres) =
        (dir.join(STATE), dir.join(INCOMPLETE), dir.join("postgres"));
    if incomplete.exists() {
        remove_file(&dir.join(secrets::FILE))?;
        for folder in ["postgres", "mail"] {
            match std::fs::remove_dir_all(dir.join(folder)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                Ok(()) | Err(_) => {}
            }
        }
    } else if state.exists() {
        return Ok(false);
    } else if postgres.exists() {
        bail!(
            "{} is not of this version of the demo: delete the folder, or use another with --dir",
            dir.display()
        );
    }
    std::fs::create_dir_all(dir)?;
    std::fs::write(incomplete, "")?;
    Ok(true)
}

/// Also if there is none.
fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn start_simulator(clock: &Clock, api_key: &str) -> anyhow::Result<Simulator> {
    // The simulator's pages, on which days pass, advance the service's clock too.
    let (read, moved) = (clock.clone(), clock.clone());
    let time = TimeSource::from_fns(move || read.now(), move |by| moved.advance(by));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = SimulatorOptions { listen, api_key: api_key.to_owned(), time };
    Simulator::start(options).await.context("cannot start the simulated Stripe")
}

impl Demo {
    async fn begin(
        &self,
        is_first: bool,
        listener: TcpListener,
        began: Instant,
    ) -> anyhow::Result<bool> {
        let address = listener.local_addr()?;
        let shell: Url = format!("http://{address}/").parse()?;
        self.simulator.set_origin(shell.clone());
        self.simulator.set_platform_dashboard(PlatformDashboard {
            section: shell.join("capital")?,
            secret: self.secrets.token_secret.clone(),
            audience: AUDIENCE.to_owned(),
        });
        feed::report_letters(self);
        let today = if is_first {
            Some(self.play_the_past().await?)
        } else {
            self.simulator.restore(&self.dir.join(STATE))?;
            self.connect_webhook()?;
            None
        };
        let app = self.service.start(Role::Serve).await?;
        let api_key = self.api_key(&app).await?;
        drop(app);
        self.serve_shell(listener)?;
        feed::offer_troubles(self);
        self.connect_pages();
        self.ready(began);
        let delivered = if let Some(today) = today {
            let delivered = self.show_offers(&today).await?;
            self.simulator.save(&self.dir.join(STATE))?;
            std::fs::remove_file(self.dir.join(INCOMPLETE))?;
            delivered
        } else {
            let dir = self.dir.display();
            self.screen.line(&format!("  continues in {dir}; delete the folder to start over"));
            true
        };
        self.simulator.autosave(self.dir.join(STATE));
        feed::follow(self);
        self.say_where(&shell, &api_key);
        Ok(delivered)
    }

    /// The key of the folder's first start, unless it was revoked since.
    async fn api_key(&self, app: &App) -> anyhow::Result<SecretString> {
        let now = self.clock.now();
        if let Some(kept) = self.secrets.api_key.clone().map(SecretString::from)
            && keys::find(app.db(), &kept, now).await?.is_some()
        {
            return Ok(kept);
        }
        let key = keys::create(app.db(), "the demo", &Scope::ALL, now).await?;
        let api_key = Some(key.secret.expose_secret().to_owned());
        Secrets { api_key, ..self.secrets.clone() }.save(&self.dir)?;
        Ok(key.secret)
    }

    fn connect_webhook(&self) -> anyhow::Result<()> {
        let service = self.service.settings.http.listen;
        self.simulator.register_webhook(WebhookEndpoint {
            url: format!("http://{service}/webhooks/stripe").parse()?,
            secrets: vec![self.secrets.webhook_secret.clone()],
            first_retry_after: Duration::from_millis(200),
            // Until a killed service is back, with room.
            max_attempts: 10,
            copies: 2,
            max_delay: Duration::ZERO,
        });
        Ok(())
    }

    async fn play_the_past(&self) -> anyhow::Result<Today> {
        self.screen.progress("Playing the past: ten months of sales");
        let today = story::play_the_past(&self.simulator, &self.clock).await?;
        let app = self.service.start(Role::ServeWithoutWorker).await?;
        self.connect_webhook()?;
        let key =
            keys::create(app.db(), "the past", &[Scope::BouncesWrite], self.clock.now()).await?;
        let watched = Watched {
            app: &app,
            simulator: &self.simulator,
            clock: &self.clock,
            service: &self.service,
            api_key: &key.secret,
        };
        let progress =
            |day, days| self.screen.progress(&format!("Playing the past: day {day} of {days}"));
        watched.adopt().await?;
        watched.play(&today, progress, &self.sink).await?;
        drop(app);
        self.service.stop().await;
        Ok(today)
    }

    fn serve_shell(&self, listener: TcpListener) -> anyhow::Result<()> {
        let (stripe, address) = (self.simulator.base_url(), listener.local_addr()?);
        let images = self.service.settings.email.brand.logos().cloned().collect();
        let shell = Shell {
            address,
            service: self.service.settings.http.listen,
            ops: self.service.settings.ops.listen,
            ops_token: SecretString::from(self.secrets.ops_token.clone()),
            stripe: stripe.socket_addrs(|| None)?.first().copied().context("no address")?,
            simulator: self.simulator.clone(),
            brand: self.brand.clone(),
        };
        let router = mail::router(self.sink.folder().clone(), images)
            .and_then(|mailbox| shell::router(shell, mailbox))
            .context("cannot use a template of the demo")?;
        let limits = self.service.settings.http.limits;
        let (tracker, stop) = (self.tasks.clone(), CancellationToken::new());
        self.tasks.spawn(http::serve(listener, router, limits, tracker, stop));
        Ok(())
    }

    /// Makes the offers of today, and shows what becomes of each.
    async fn show_offers(&self, today: &Today) -> anyhow::Result<bool> {
        let began = Instant::now();
        let mut waiting = story::make_offers(&self.simulator, today);
        let all = waiting.len();
        while !waiting.is_empty() && began.elapsed() < DELIVERY_TIMEOUT {
            tokio::time::sleep(POLL_INTERVAL).await;
            waiting.retain(|letter| {
                let is_delivered = self.is_delivered(letter);
                if is_delivered {
                    self.say_delivered(letter, began.elapsed());
                }
                !is_delivered
            });
        }
        let delivered = all - waiting.len();
        self.screen.line(&format!("  {delivered} of {all} offers delivered"));
        Ok(delivered == all)
    }

    fn is_delivered(&self, letter: &NewLetter) -> bool {
        self.simulator.offer(&letter.offer).is_some_and(|offer| offer["status"] == "delivered")
    }

    fn say_delivered(&self, letter: &NewLetter, after: Duration) {
        let NewLetter { merchant, amount, email, .. } = letter;
        let after = after.as_secs_f64();
        self.screen.line(&format!(
            "  {merchant:<14} {amount:>7}  email to {email:<21} Stripe: delivered {after:>4.1} s"
        ));
    }

    fn ready(&self, began: Instant) {
        self.screen.progress("");
        self.screen.line(&format!(
            "  ✓ Postgres  ✓ Stripe (simulated)  ✓ mail server  ✓ courier {:>13.1} s",
            began.elapsed().as_secs_f64()
        ));
        self.screen.line("");
    }

    fn say_where(&self, shell: &Url, key: &SecretString) {
        let service = self.service.settings.http.listen;
        let offers = self.simulator.offers();
        let account = offers.first().and_then(|offer| offer["account"].as_str());
        let account = account.unwrap_or_default();
        for line in [
            String::new(),
            format!("  Open     {shell}  mailbox, merchants, Stripe, console"),
            String::new(),
            format!("  Webhook  http://{service}/webhooks/stripe"),
            format!("  Stripe   {}v1", self.simulator.base_url()),
            format!("  API      {shell}api/v1/accounts/{account}/summary"),
            format!("  Secrets  {}", self.dir.join(secrets::FILE).display()),
            format!("  API key  {}", key.expose_secret()),
            String::new(),
        ] {
            self.screen.line(&line);
        }
        self.screen.open(shell);
    }

    /// What the simulator's pages need of the service.
    fn connect_pages(&self) {
        if let Some(links) = self.service.settings.email.links.clone() {
            self.simulator.set_unsubscribe_link(move |account| {
                Some(links.link(&account.parse().ok()?).path().to_owned())
            });
        }
        let service = Arc::clone(&self.service);
        self.simulator.set_settle(move || {
            let service = Arc::clone(&service);
            async move { service.settle().await }
        });
        self.simulator.resume_deliveries();
    }

    /// Whatever is under way may be cut off: the next start goes on from there.
    async fn end(self) {
        self.screen.progress("Stopping");
        self.simulator.stop();
        self.service.stop().await;
        self.screen.progress("");
        if !self.dir.join(INCOMPLETE).exists()
            && let Err(error) = self.simulator.save(&self.dir.join(STATE))
        {
            self.screen.line(&format!("  cannot keep the simulator's state: {error}"));
        }
        if let Some(service) = Arc::into_inner(self.service) {
            service.close().await;
        }
    }
}
