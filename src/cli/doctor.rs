//! `doctor`: one line for each thing that must be right, with its remedy.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::app;
use crate::cli::out::{self, say};
use crate::clock::{Agreement, Clock};
use crate::config::{Requirement, Settings, environment};
use crate::database::{self, Database, Health};
use crate::feedback;
use crate::financing;
use crate::flow::inbox;
use crate::letters;
use crate::letters::lint::Rules;
use crate::letters::wording::samples;
use crate::mail::sending_rate;
use crate::mail::sending_rate::Limits;
use crate::mail::{self, Algorithm, Relay, Timeouts};
use crate::maintenance::reconcile;
use crate::queue::{self, Circuit};
use crate::stripe::Client;
use crate::telemetry::{self, chain};

/// Longer than a healthy answer by far, and a person is waiting.
const LONGEST: Duration = Duration::from_secs(10);
/// Stripe makes offers daily; a platform that hears nothing for longer may have lost its endpoint or its `stripe listen`.
const QUIET: TimeDelta = TimeDelta::hours(24);

/// A difference that an NTP client would not leave.
const NOTABLE_SKEW: TimeDelta = TimeDelta::seconds(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Wrong,
}

/// One line.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

fn ok(what: &'static str, found: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Ok, found: found.into(), remedy: None }
}

fn wrong(what: &'static str, found: impl Into<String>, remedy: &'static str) -> Finding {
    Finding { what, verdict: Verdict::Wrong, found: found.into(), remedy: Some(remedy) }
}

fn warn(what: &'static str, found: impl Into<String>, remedy: &'static str) -> Finding {
    Finding { what, verdict: Verdict::Warn, found: found.into(), remedy: Some(remedy) }
}

pub(super) async fn run(config: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(config, &environment(), Requirement::WebhookSecret)?;
    telemetry::init(&settings.telemetry);
    // To look must not change what is looked at.
    settings.database.migrate_on_start = false;
    settings.database.start_timeout = Duration::ZERO;
    let secrets = settings.webhook.secrets.len();
    let mut findings = vec![
        ok("settings", "complete"),
        ok("webhook secrets", format!("{secrets} to verify with")),
    ];
    let clock = Clock::system();
    findings.extend(look_at_database(&settings, &clock).await);
    findings.push(look_at_stripe(&settings, &clock).await);
    findings.push(look_at_clock(&clock));
    findings.push(look_at_relay(&settings).await);
    findings.push(look_at_letters(&settings));
    findings.push(look_at_disclaimers(&settings));
    findings.push(look_at_signature(&settings.email.sender));
    out::as_far_as_read(print(&findings, json))?;
    let all_right = findings.iter().all(|finding| finding.verdict != Verdict::Wrong);
    Ok(ExitCode::from(u8::from(!all_right)))
}

fn look_at_letters(settings: &Settings) -> Finding {
    let look = || {
        let (writer, all) =
            (app::writer(&settings.email)?, app::disclaimers(&settings.email)?.all());
        let samples = app::samples(&settings.email, &writer, &all)?;
        anyhow::Ok((samples::check(&writer, &Rules::built_in()?, &samples), samples.len()))
    };
    match look() {
        Ok((found, letters)) if found.is_empty() => {
            ok("letters", format!("{letters} render, and keep to the rules"))
        }
        Ok((found, _)) => warn(
            "letters",
            format!("{} findings against their wording", found.len()),
            "see `capital-courier email check`",
        ),
        Err(error) => wrong("letters", format!("{error:#}"), "mend the templates"),
    }
}

async fn look_at_database(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let database = match database::open(&settings.database).await {
        Ok(database) => database,
        Err(error) => {
            return vec![wrong(
                "database",
                chain(&error),
                "set DATABASE_URL to a Postgres that runs",
            )];
        }
    };
    let kind = if database.is_embedded() { "embedded" } else { "reachable" };
    if let Ok(measured) = database::measure_clock(&database.pool).await {
        clock.follow(measured);
    }
    let now = clock.now();
    let findings = match database::health(&database.pool).await {
        Health::Ready => vec![
            ok("database", format!("{kind}, writable, schema current")),
            last_event(&database, now).await,
            last_reconciliation(&database, now).await,
            last_report(&database).await,
            dead(&database).await,
            transactions(&database, now).await,
            letters_today(&database, &settings.email.limits, now).await,
        ],
        Health::ReadOnly => {
            vec![wrong("database", "refuses writes", "point DATABASE_URL at the primary")]
        }
        Health::Full => {
            vec![wrong("database", "its disk is full", "make room on the server's disk")]
        }
        Health::SchemaBehind => {
            vec![wrong(
                "database",
                "its schema is older than this binary",
                "run `capital-courier migrate`",
            )]
        }
        Health::Away => vec![wrong("database", "gives no answer", "look whether Postgres runs")],
    };
    database.close().await;
    findings
}

async fn last_event(database: &Database, now: DateTime<Utc>) -> Finding {
    const REMEDY: &str = "register <your address>/webhooks/stripe in Stripe for capital.* events, or run `stripe listen`";
    match inbox::store::last_received(&database.pool).await {
        Ok(Some(at)) if now - at < QUIET => ok("last event", at.to_rfc3339()),
        Ok(Some(at)) => {
            warn("last event", format!("{}, more than a day ago", at.to_rfc3339()), REMEDY)
        }
        Ok(None) => warn("last event", "none ever", REMEDY),
        Err(error) => wrong("last event", chain(&error), "look at the database"),
    }
}

async fn last_reconciliation(database: &Database, now: DateTime<Utc>) -> Finding {
    const REMEDY: &str =
        "look for `reconciliation is incomplete` in the log, or run `capital-courier reconcile`";
    match reconcile::store::last_complete(&database.pool, now).await {
        Ok(Some(at)) if now - at < QUIET => ok("reconciliation", at.to_rfc3339()),
        Ok(Some(at)) => {
            warn("reconciliation", format!("{}, more than a day ago", at.to_rfc3339()), REMEDY)
        }
        Ok(None) => warn("reconciliation", "none was ever complete", REMEDY),
        Err(error) => wrong("reconciliation", chain(&error), "look at the database"),
    }
}

/// Bounces are rare, so an old report is no fault; none at all may mean that nobody takes them in.
async fn last_report(database: &Database) -> Finding {
    const REMEDY: &str = "have bounces and complaints come to /inbound or to `capital-courier bounce`: see docs/operations.md";
    match feedback::last(&database.pool).await {
        Ok(Some((at, door))) => ok("last report", format!("{}, by {door}", at.to_rfc3339())),
        Ok(None) => warn("last report", "no letter was ever reported to have come back", REMEDY),
        Err(error) => wrong("last report", chain(&error), "look at the database"),
    }
}

async fn dead(database: &Database) -> Finding {
    match queue::dead_count(&database.pool).await {
        Ok(0) => ok("dead jobs", "none"),
        Ok(count) => {
            warn("dead jobs", count.to_string(), "read jobs.last_error where state = 'dead'")
        }
        Err(error) => wrong("dead jobs", chain(&error), "look at the database"),
    }
}

/// Whether what we add up is what Stripe adds up.
async fn transactions(database: &Database, now: DateTime<Utc>) -> Finding {
    let before = now - financing::summary::MAY_DIFFER_FOR;
    let look = async {
        let differing = financing::summary::store::differing(&database.pool, before);
        tokio::try_join!(differing, financing::unreadable(&database.pool))
    };
    match look.await {
        Ok((0, 0)) => ok("transactions", "add up to Stripe's summaries"),
        Ok((differing, unreadable)) => warn(
            "transactions",
            format!(
                "{differing} accounts differ from Stripe's summary, {unreadable} entries cannot be read"
            ),
            "look for `a transaction of Stripe's list` and `others than Stripe's` in the log",
        ),
        Err(error) => wrong("transactions", chain(&error), "look at the database"),
    }
}

async fn look_at_stripe(settings: &Settings, clock: &Clock) -> Finding {
    const REMEDY: &str = "check STRIPE_API_KEY, and that Capital is enabled for the platform and the key may read offers";
    let client = match Client::new(
        settings.stripe.clone(),
        Circuit::new("stripe", clock.clone()),
        clock.clone(),
    ) {
        Ok(client) => client,
        Err(error) => return wrong("Stripe", chain(&error), "the machine's TLS set-up is broken"),
    };
    let mode = if client.livemode() == Some(true) { "live" } else { "test" };
    match tokio::time::timeout(LONGEST, client.probe()).await {
        Ok(Ok(_)) => {
            ok("Stripe", format!("takes the key, {mode} mode, at {}", settings.stripe.api_base))
        }
        Ok(Err(error)) => wrong("Stripe", chain(&error), error.key_problem().unwrap_or(REMEDY)),
        Err(_) => wrong("Stripe", "no answer in time", "check the way out to api.stripe.com"),
    }
}

/// Whether the database, this machine and Stripe agree on the time.
fn look_at_clock(clock: &Clock) -> Finding {
    const MACHINE: &str =
        "run an NTP client on this machine: TLS certificates are checked by its clock";
    const DATABASE: &str =
        "run an NTP client on the database server: nothing is sent until its clock is right";
    let machine = clock.wall_clock_skew();
    match clock.agreement() {
        Agreement::Differs(skew) => wrong(
            "clock",
            format!("the database is {} s from Stripe", skew.num_seconds()),
            DATABASE,
        ),
        Agreement::Unknown | Agreement::Agrees if machine.abs() > NOTABLE_SKEW => warn(
            "clock",
            format!("this machine is {} s from the database", machine.num_seconds()),
            MACHINE,
        ),
        Agreement::Agrees => ok("clock", "the database agrees with Stripe"),
        Agreement::Unknown => {
            warn("clock", "not compared: Stripe did not tell its time", "see `Stripe` above")
        }
    }
}

fn look_at_disclaimers(settings: &Settings) -> Finding {
    const REMEDY: &str = "put the wording that Stripe approved into email.disclaimers_dir: live letters are held without";
    match app::disclaimers(&settings.email) {
        Err(error) => wrong("disclaimers", format!("{error:#}"), "mend the file"),
        Ok(all) => {
            let written = all.all().iter().filter(|found| !found.is_sample).count();
            if written > 0 {
                ok("disclaimers", format!("{written} of yours"))
            } else {
                warn("disclaimers", "samples, for test mode only", REMEDY)
            }
        }
    }
}

fn look_at_signature(sender: &mail::Sender) -> Finding {
    let Some(dkim) = &sender.dkim else {
        let domain = sender.from.domain();
        let found = format!(
            "none of ours: the relay must sign for {domain}, or mail programs show no button to unsubscribe"
        );
        return ok("DKIM", found);
    };
    let found = format!("{}, {}", dkim.record_name(), dkim.algorithm());
    match dkim.algorithm() {
        Algorithm::Ed25519 => {
            warn("DKIM", found, "many receivers check RSA alone: use an RSA key of 2048 bits")
        }
        Algorithm::Rsa { bits: ..2048 } => warn("DKIM", found, "make a key of 2048 bits"),
        Algorithm::Rsa { .. } => {
            ok("DKIM", format!("{found}; `email dkim-record` prints the DNS record"))
        }
    }
}

/// How fast letters may go out, and how many did today.
async fn letters_today(database: &Database, limits: &Limits, now: DateTime<Utc>) -> Finding {
    let today = now.date_naive();
    let sent = match letters::store::sent_since(&database.pool, sending_rate::midnight(today)).await
    {
        Ok(sent) => sent,
        Err(error) => return wrong("letters", chain(&error), "look at the database"),
    };
    let by_day = limits.warm_up.and_then(|warm_up| warm_up.letters_on(today));
    let of = by_day.map(|letters| format!(" of {letters}, as a new sender")).unwrap_or_default();
    let rates = [
        (u64::from(limits.max_per_second), "a second"),
        (u64::from(limits.max_per_minute), "a minute"),
        (limits.max_per_domain as u64, "at once to one domain"),
    ];
    let rates = rates.iter().filter(|(most, _)| *most > 0);
    let rates: Vec<String> = rates.map(|(most, of)| format!("; {most} {of}")).collect();
    ok("letters", format!("{sent}{of} were sent today{}", rates.concat()))
}

async fn look_at_relay(settings: &Settings) -> Finding {
    const UNENCRYPTED: &str =
        "use smtps:// or ?tls=required in SMTP_URL, unless the network up to the relay is private";
    let relay = {
        let command = settings.email.timeouts.command.min(LONGEST);
        let timeouts = Timeouts { command, ..settings.email.timeouts };
        Relay::new(&settings.email.relay, timeouts, Circuit::new("relay", Clock::system()))
    };
    match relay.check().await {
        Ok(name) => {
            let found = format!("{} answers as {name}", settings.email.relay);
            match settings.unencrypted_relay() {
                None => ok("relay", found),
                Some(_) => {
                    warn("relay", format!("{found}; letters may travel unencrypted"), UNENCRYPTED)
                }
            }
        }
        Err(error) => {
            wrong("relay", error.to_string(), "check SMTP_URL: host, port, tls, user and password")
        }
    }
}

fn print(findings: &[Finding], json: bool) -> anyhow::Result<()> {
    if json {
        return out::json(&findings);
    }
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok   ",
            Verdict::Warn => "warn ",
            Verdict::Wrong => "WRONG",
        };
        say!("{verdict}  {:<16} {}", finding.what, finding.found)?;
        if let Some(remedy) = finding.remedy {
            say!("                        {remedy}")?;
        }
    }
    Ok(())
}
