//! `demo`: the whole story on this machine. The service itself runs as it would for `serve`; only Stripe is simulated, the
//! database is the embedded one, and the relay keeps letters as files.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use secrecy::ExposeSecret;
use stripe_simulator::{
    NewAccount, NewOffer, Options, PlatformDashboard, Simulator, TimeSource, WebhookEndpoint,
};
use tokio::sync::oneshot;

use crate::app::{App, Role};
use crate::cli::out::say;
use crate::clock::Clock;
use crate::config::{Requirement, Settings};
use crate::database::Pool;
use crate::flow::delivered;
use crate::letters;
use crate::mail::RelayUrl;
use crate::shutdown::Shutdown;
use crate::telemetry;
use crate::web::api::{Scope, keys};

/// What `demo` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End by itself, with exit status 0 if every offer was delivered
    #[arg(long)]
    once: bool,
    /// Keep the database and the letters in this folder
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    dir: PathBuf,
    /// Hand the letters to this relay, written as `SMTP_URL` is, rather than keep them as files
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
}

const API_KEY: &str = "sk_test_demo";
const SECRET: &str = "whsec_demo";
const TOKEN_SECRET: &str = "the demo's links need not keep anybody out";
/// The embedded database has a single connection; a handful of letters takes a second or two.
const LONGEST: Duration = Duration::from_mins(1);

/// Three merchants: the usual, a cash advance in another country, and one with little. With its country goes its currency.
const MERCHANTS: [(&str, &str, i64, &str, &str); 3] = [
    ("Jenny's Bakery", "jenny@bakery.example", 1_250_000, "US", "flex_loan"),
    ("Rocket Rides", "owner@rocket.example", 4_800_000, "GB", "cash_advance"),
    ("Kite & Co", "hello@kite.example", 300_000, "US", "flex_loan"),
];

/// Where to look afterwards.
struct Place {
    dir: PathBuf,
    relay: RelayUrl,
}

/// One line of what happened.
struct Story {
    offer_id: String,
    letter_state: String,
    delivery_state: String,
    simulator_status: String,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dir = std::path::absolute(&args.dir)?;
    let clock = Clock::system();
    let simulator = start_simulator(&clock).await?;
    let kept_in = format!("file:{}", dir.join("mail").display());
    let relay = args.relay.unwrap_or(kept_in);
    let settings = settings(&dir, &relay, &simulator)?;
    let place = Place { dir, relay: settings.email.relay.clone() };
    telemetry::init(&settings.telemetry);
    say!("Starting Postgres in {} …", place.dir.join("postgres").display())?;
    let shutdown = Shutdown::on_signals()?;
    let app = App::open(settings, clock.clone()).await?;

    let (ready, address) = oneshot::channel();
    let serving = app.serve(Role::Serve, &shutdown, |address| {
        let _ = ready.send(address);
    });
    let telling = async {
        let Ok(address) = address.await else { return Ok(false) };
        let told = async {
            let delivered = tell(&app, &simulator, &place, address).await?;
            point_out(app.db(), &simulator, &clock, address).await?;
            anyhow::Ok(delivered)
        }
        .await;
        if args.once || told.is_err() {
            shutdown.soft.cancel();
        } else {
            say!("")?;
            say!("Running. Stop it with Ctrl-C.")?;
        }
        told
    };
    let (served, told) = tokio::join!(serving, telling);
    simulator.stop();
    app.close().await;
    served?;
    Ok(if told? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn start_simulator(clock: &Clock) -> anyhow::Result<Simulator> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    // The page on which days pass moves the service's clock as well.
    let (read, moved) = (clock.clone(), clock.clone());
    let time = TimeSource::from_fns(move || read.now(), move |by| moved.advance(by));
    let options = Options { listen, api_key: API_KEY.to_owned(), time };
    Simulator::start(options).await.context("cannot start the simulator")
}

/// Settings as an operator would write them. The usual ports are taken if they are free.
fn settings(dir: &Path, relay: &str, simulator: &Simulator) -> anyhow::Result<Settings> {
    let listen = |port: u16| -> std::io::Result<SocketAddr> {
        let at = |port| std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)));
        at(port).or_else(|_| at(0))?.local_addr()
    };
    let public = listen(8080)?;
    let env: HashMap<String, String> = [
        ("COURIER_DATABASE__DATA_DIR", dir.join("postgres").display().to_string()),
        ("STRIPE_API_KEY", API_KEY.to_owned()),
        ("STRIPE_WEBHOOK_SECRET", SECRET.to_owned()),
        ("COURIER_STRIPE__API_BASE", simulator.base_url().to_string()),
        ("SMTP_URL", relay.to_owned()),
        // Whatever the relay is: nobody at Stripe wants to hear of this.
        ("COURIER_EMAIL__BCC", "capital-offers@stripe.example".to_owned()),
        ("COURIER_EMAIL__FROM", "Rocket Capital <capital@rocket.example>".to_owned()),
        (
            "COURIER_EMAIL__POSTAL_ADDRESS",
            "Rocket Platform Inc., 1 Main Street, Springfield, IL 62701, USA".to_owned(),
        ),
        ("COURIER_CAPITAL__PROGRAM_NAME", "Rocket Capital".to_owned()),
        ("COURIER_CAPITAL__DASHBOARD_URL", format!("{}dashboard", simulator.base_url())),
        ("COURIER_HTTP__LISTEN", public.to_string()),
        ("COURIER_HTTP__PUBLIC_URL", format!("http://{public}")),
        ("COURIER_PORTAL__TOKEN_SECRET", TOKEN_SECRET.to_owned()),
        ("COURIER_OPS__LISTEN", listen(9090)?.to_string()),
        ("COURIER_TELEMETRY__FILTER", "warn".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    Ok(Settings::load(None, &env, Requirement::WebhookSecret)?)
}

/// Points the simulator's webhooks and its stand-in for the platform's dashboard at the service.
fn connect(simulator: &Simulator, address: SocketAddr) -> anyhow::Result<()> {
    simulator.register_webhook(WebhookEndpoint {
        url: format!("http://{address}/webhooks/stripe").parse()?,
        secrets: vec![SECRET.to_owned()],
        first_retry_after: Duration::from_millis(200),
        max_attempts: 5,
        copies: 2,
        max_delay: Duration::ZERO,
    });
    let section = format!("http://{address}/capital").parse()?;
    simulator.set_platform_dashboard(PlatformDashboard {
        section,
        secret: TOKEN_SECRET.to_owned(),
        audience: "capital-courier".to_owned(),
    });
    Ok(())
}

/// Makes the offers, waits for what comes of them, and says so. True if every offer was delivered.
async fn tell(
    app: &App,
    simulator: &Simulator,
    place: &Place,
    address: SocketAddr,
) -> anyhow::Result<bool> {
    connect(simulator, address)?;
    say!("Stripe (simulated) makes {} offers, and sends each event twice …", MERCHANTS.len())?;
    say!("")?;
    let mut offers = Vec::new();
    for (name, email, advance_amount, country, financing_type) in MERCHANTS {
        let account = NewAccount {
            name: Some(name.to_owned()),
            email: Some(email.to_owned()),
            country: Some(country.to_owned()),
        };
        let account = simulator.add_account(&account);
        let offer = NewOffer {
            advance_amount,
            fee_amount: advance_amount / 10,
            financing_type: financing_type.to_owned(),
            ..NewOffer::default()
        };
        offers.push(simulator.create_offer(&account, &offer));
    }
    simulator.deliveries_finished().await;
    let stories = wait(app.db(), simulator, &offers).await?;
    let delivered = stories.iter().filter(|story| story.simulator_status == "delivered").count();
    for story in &stories {
        say!("  {}", story.offer_id)?;
        say!(
            "      letter {}, delivery {}; at Stripe the offer is {}",
            story.letter_state,
            story.delivery_state,
            story.simulator_status
        )?;
    }
    say!("")?;
    say!("{delivered} of {} offers delivered. Look at", offers.len())?;
    match &place.relay {
        RelayUrl::File(mail) => {
            say!("  the letters      {} (.eml: a mail program opens them)", mail.display())?;
        }
        RelayUrl::Smtp(_) => say!("  the letters      {} took them", place.relay)?,
    }
    say!("  the offers       curl {}_simulator/state", simulator.base_url())?;
    say!("  the webhook      http://{address}/webhooks/stripe, http://{address}/readyz")?;
    say!(
        "  the proof        the tables letters, deliveries and timeline_entries, in {}",
        place.dir.join("postgres").display()
    )?;
    Ok(delivered == offers.len())
}

/// Where to go on, and how a program of the platform asks.
async fn point_out(
    db: &Pool,
    simulator: &Simulator,
    clock: &Clock,
    address: SocketAddr,
) -> anyhow::Result<()> {
    let base = simulator.base_url();
    let offers = simulator.offers();
    let account = offers.first().and_then(|offer| offer["account"].as_str()).unwrap_or_default();
    let key = keys::create(db, "the demo", &Scope::ALL, clock.now()).await?;
    say!("")?;
    say!("Play on, in a browser:")?;
    say!("  Stripe           {base}_simulator/ (apply, approve, sell, play a whole year)")?;
    say!("  the merchant     {base}dashboard/{account} (opens its Capital section)")?;
    say!("By a program of the platform:")?;
    say!(
        "  a summary        curl -H 'Authorization: Bearer {}' http://{address}/api/v1/accounts/{account}/summary",
        key.secret.expose_secret()
    )?;
    Ok(())
}

async fn wait(db: &Pool, simulator: &Simulator, offers: &[String]) -> anyhow::Result<Vec<Story>> {
    let deadline = tokio::time::Instant::now() + LONGEST;
    loop {
        let stories = look(db, simulator, offers).await?;
        let done = stories.iter().all(|story| story.delivery_state == "delivered");
        if done || tokio::time::Instant::now() > deadline {
            return Ok(stories);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn look(db: &Pool, simulator: &Simulator, offers: &[String]) -> anyhow::Result<Vec<Story>> {
    let mut stories = Vec::new();
    for offer_id in offers {
        let letter = letters::store::state_of(db, offer_id).await?;
        let delivery = delivered::store::state_of(db, offer_id).await?;
        let offer = simulator.offer(offer_id).unwrap_or_default();
        stories.push(Story {
            offer_id: offer_id.clone(),
            letter_state: letter.map_or("none", letters::store::State::as_str).to_owned(),
            delivery_state: delivery.unwrap_or_else(|| "none".to_owned()),
            simulator_status: offer["status"].as_str().unwrap_or_default().to_owned(),
        });
    }
    Ok(stories)
}
