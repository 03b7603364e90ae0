//! `demo`: the whole flow on one machine. The service runs as under `serve`; Stripe is simulated,
//! the database is embedded, and emails are written to files.

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
use crate::letters::{self, deliveries};
use crate::mail::RelayUrl;
use crate::shutdown::Shutdown;
use crate::telemetry;
use crate::web::api::{Scope, keys};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stop by itself, with exit status 0 if every offer was delivered
    #[arg(long)]
    once: bool,
    /// The folder for the database and the emails
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    dir: PathBuf,
    /// Send the emails to this relay, in the format of `SMTP_URL`, instead of writing files
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
}

const API_KEY: &str = "sk_test_demo";
const SECRET: &str = "whsec_demo";
const TOKEN_SECRET: &str = "the demo's links protect nothing";
/// The embedded database has one connection; a handful of emails takes a second or two.
const DELIVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// Name, email, advance in minor units, country, financing type. The country decides the currency.
const MERCHANTS: [(&str, &str, i64, &str, &str); 3] = [
    ("Jenny's Bakery", "jenny@bakery.example", 1_250_000, "US", "flex_loan"),
    ("Rocket Rides", "owner@rocket.example", 4_800_000, "GB", "cash_advance"),
    ("Kite & Co", "hello@kite.example", 300_000, "US", "flex_loan"),
];

/// Where the demo keeps its files.
struct Output {
    dir: PathBuf,
    relay: RelayUrl,
}

/// The outcome of an offer.
struct OfferOutcome {
    offer_id: String,
    letter_state: String,
    delivery_state: String,
    simulator_status: String,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dir = std::path::absolute(&args.dir)?;
    let clock = Clock::system();
    let simulator = start_simulator(&clock).await?;
    let mail_dir = format!("file:{}", dir.join("mail").display());
    let relay = args.relay.unwrap_or(mail_dir);
    let settings = settings(&dir, &relay, &simulator)?;
    let output = Output { dir, relay: settings.relay.url.clone() };
    telemetry::init(&settings.telemetry);
    say!("Starting Postgres in {} …", output.dir.join("postgres").display())?;
    let shutdown = Shutdown::on_signals()?;
    let app = App::open(settings, clock.clone()).await?;

    let (ready, address) = oneshot::channel();
    let serving = app.serve(Role::Serve, &shutdown, |address| {
        let _ = ready.send(address);
    });
    let demonstration = async {
        let Ok(address) = address.await else { return Ok(false) };
        let result = async {
            let delivered = create_offers(&app, &simulator, &output, address).await?;
            print_next_steps(app.db(), &simulator, &clock, address).await?;
            anyhow::Ok(delivered)
        }
        .await;
        if args.once || result.is_err() {
            shutdown.soft.cancel();
        } else {
            say!("")?;
            say!("Running. Stop it with Ctrl-C.")?;
        }
        result
    };
    let (served, delivered) = tokio::join!(serving, demonstration);
    simulator.stop();
    app.close().await;
    served?;
    Ok(if delivered? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn start_simulator(clock: &Clock) -> anyhow::Result<Simulator> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    // The simulator's page that advances days advances the service's clock too.
    let (read, moved) = (clock.clone(), clock.clone());
    let time = TimeSource::from_fns(move || read.now(), move |by| moved.advance(by));
    let options = Options { listen, api_key: API_KEY.to_owned(), time };
    Simulator::start(options).await.context("cannot start the simulator")
}

/// The settings, as an operator would set them. The usual ports are used if they are free.
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
        // Even with a real relay, the blind copy must not reach Stripe.
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

/// Connects the simulator's webhooks and its stand-in for the platform's dashboard to the service.
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

/// Creates the offers, waits for their delivery and prints the outcome. True if all were delivered.
async fn create_offers(
    app: &App,
    simulator: &Simulator,
    output: &Output,
    address: SocketAddr,
) -> anyhow::Result<bool> {
    connect(simulator, address)?;
    say!("Stripe (simulated) creates {} offers and sends each event twice …", MERCHANTS.len())?;
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
    let outcomes = wait_for_delivery(app.db(), simulator, &offers).await?;
    let delivered =
        outcomes.iter().filter(|outcome| outcome.simulator_status == "delivered").count();
    for outcome in &outcomes {
        say!("  {}", outcome.offer_id)?;
        say!(
            "      letter {}, delivery {}; at Stripe the offer is {}",
            outcome.letter_state,
            outcome.delivery_state,
            outcome.simulator_status
        )?;
    }
    say!("")?;
    say!("{delivered} of {} offers delivered. See", offers.len())?;
    match &output.relay {
        RelayUrl::File(mail) => {
            say!("  the emails       {} (.eml files for a mail program)", mail.display())?;
        }
        RelayUrl::Smtp(_) => say!("  the emails       {} accepted them", output.relay)?,
    }
    say!("  the offers       curl {}_simulator/state", simulator.base_url())?;
    say!("  the webhook      http://{address}/webhooks/stripe, http://{address}/readyz")?;
    say!(
        "  the evidence     the tables letters, deliveries and timeline_entries, in {}",
        output.dir.join("postgres").display()
    )?;
    Ok(delivered == offers.len())
}

/// Prints what to open in a browser, and how a program calls the API.
async fn print_next_steps(
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
    say!("Continue in a browser:")?;
    say!("  Stripe           {base}_simulator/ (apply, approve, sell, play a whole year)")?;
    say!("  the merchant     {base}dashboard/{account} (opens its Capital section)")?;
    say!("Call the API:")?;
    say!(
        "  a summary        curl -H 'Authorization: Bearer {}' \
         http://{address}/api/v1/accounts/{account}/summary",
        key.secret.expose_secret()
    )?;
    Ok(())
}

async fn wait_for_delivery(
    db: &Pool,
    simulator: &Simulator,
    offers: &[String],
) -> anyhow::Result<Vec<OfferOutcome>> {
    let deadline = tokio::time::Instant::now() + DELIVERY_TIMEOUT;
    loop {
        let outcomes = read_outcomes(db, simulator, offers).await?;
        let done = outcomes.iter().all(|outcome| outcome.delivery_state == "delivered");
        // After the timeout the outcomes show what is missing.
        if done || tokio::time::Instant::now() > deadline {
            return Ok(outcomes);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn read_outcomes(
    db: &Pool,
    simulator: &Simulator,
    offers: &[String],
) -> anyhow::Result<Vec<OfferOutcome>> {
    let mut outcomes = Vec::new();
    for offer_id in offers {
        let letter = letters::store::first_letter_state(db, offer_id).await?;
        let delivery = deliveries::find(db, offer_id).await?;
        let offer = simulator.offer(offer_id).unwrap_or_default();
        outcomes.push(OfferOutcome {
            offer_id: offer_id.clone(),
            letter_state: letter.map_or("none", letters::store::State::as_str).to_owned(),
            delivery_state: delivery.map_or_else(|| "none".to_owned(), |delivery| delivery.state),
            simulator_status: offer["status"].as_str().unwrap_or_default().to_owned(),
        });
    }
    Ok(outcomes)
}
