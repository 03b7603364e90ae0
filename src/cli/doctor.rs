//! `doctor`: checks the settings and every dependency, and prints a remedy for each problem.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::app;
use crate::cli::out::{self, say};
use crate::clock::{Agreement, Clock};
use crate::config::{Requirement, Settings, environment};
use crate::database::{self, Health, Pool};
use crate::feedback;
use crate::financing;
use crate::flow::inbox;
use crate::format::locale::start_of_day;
use crate::letters;
use crate::letters::lint::Rules;
use crate::letters::wording::samples;
use crate::mail::sending_rate::SendingLimits;
use crate::mail::{self, Algorithm, Relay, Timeouts};
use crate::maintenance::reconcile;
use crate::queue::{self, Circuit};
use crate::stripe::Client;
use crate::telemetry::{self, chain};

/// Much longer than a healthy answer takes.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Stripe creates offers daily. After a day without events the endpoint, or `stripe listen`, may be
/// gone.
const MAX_SILENCE: TimeDelta = TimeDelta::hours(24);
/// An NTP client keeps the difference far smaller.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Wrong,
}

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

fn warn(what: &'static str, found: impl Into<String>, remedy: &'static str) -> Finding {
    Finding { what, verdict: Verdict::Warn, found: found.into(), remedy: Some(remedy) }
}

fn wrong(what: &'static str, found: impl Into<String>, remedy: &'static str) -> Finding {
    Finding { what, verdict: Verdict::Wrong, found: found.into(), remedy: Some(remedy) }
}

pub(super) async fn run(config: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(config, &environment(), Requirement::WebhookSecret)?;
    telemetry::init(&settings.telemetry);
    // A check must not change what it checks.
    settings.database.migrate_on_start = false;
    settings.database.start_timeout = Duration::ZERO;
    let secrets = settings.webhook.secrets.len();
    let mut findings =
        vec![ok("settings", "valid"), ok("webhook secrets", format!("{secrets} configured"))];
    let clock = Clock::system();
    findings.extend(check_database(&settings, &clock).await);
    findings.push(check_stripe(&settings, &clock).await);
    // Afterwards: both answers tell the time.
    findings.push(check_clock(&clock));
    findings.push(check_relay(&settings).await);
    findings.push(check_wording(&settings));
    findings.push(check_disclaimers(&settings));
    findings.push(check_dkim(&settings.email.sender));
    out::ignore_closed(print(&findings, json))?;
    let is_wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
    Ok(ExitCode::from(u8::from(is_wrong)))
}

fn check_wording(settings: &Settings) -> Finding {
    let lint = || {
        let (writer, all) =
            (app::writer(&settings.email)?, app::disclaimers(&settings.email)?.all());
        let samples = app::samples(&settings.email, &writer, &all)?;
        anyhow::Ok((samples::check(&writer, &Rules::built_in()?, &samples), samples.len()))
    };
    match lint() {
        Ok((found, samples)) if found.is_empty() => {
            ok("wording", format!("{samples} sample emails pass the rules"))
        }
        Ok((found, _)) => warn(
            "wording",
            format!("{} rule violations", found.len()),
            "run `capital-courier email check`",
        ),
        Err(error) => wrong("wording", format!("{error:#}"), "fix the templates"),
    }
}

async fn check_database(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let database = match database::open(&settings.database).await {
        Ok(database) => database,
        Err(error) => {
            return vec![wrong(
                "database",
                chain(&error),
                "set DATABASE_URL to a running Postgres",
            )];
        }
    };
    if let Ok(measured) = database::measure_clock(&database.pool).await {
        clock.follow(measured);
    }
    let kind = if database.is_embedded() { "embedded" } else { "reachable" };
    let (found, remedy) = match database::health(&database.pool).await {
        Health::Ready => (format!("{kind}, writable, schema current"), None),
        Health::ReadOnly => {
            ("read-only".to_owned(), Some("set DATABASE_URL to the primary server"))
        }
        Health::Full => ("the disk is full".to_owned(), Some("free disk space on the server")),
        Health::SchemaBehind => (
            "the schema is older than this binary".to_owned(),
            Some("run `capital-courier migrate`"),
        ),
        Health::Unavailable => ("no answer".to_owned(), Some("check that Postgres is running")),
    };
    let findings = if let Some(remedy) = remedy {
        vec![wrong("database", found, remedy)]
    } else {
        let content = check_content(&database.pool, settings, clock.now()).await;
        std::iter::once(ok("database", found)).chain(content).collect()
    };
    database.close().await;
    findings
}

async fn check_content(db: &Pool, settings: &Settings, now: DateTime<Utc>) -> [Finding; 6] {
    let checks = [
        ("last event", last_event(db, now).await),
        ("reconciliation", last_reconciliation(db, now).await),
        ("last bounce", last_bounce(db).await),
        ("dead jobs", dead_jobs(db).await),
        ("transactions", transactions(db, now).await),
        ("emails", sent_today(db, &settings.email.limits, now).await),
    ];
    checks.map(|(what, finding)| {
        finding.unwrap_or_else(|error| wrong(what, chain(&error), "check the database"))
    })
}

async fn last_event(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<Finding> {
    const REMEDY: &str = "register <your address>/webhooks/stripe at Stripe for capital.* events, \
                          or run `stripe listen`";
    let last = inbox::store::last_received(db).await?;
    Ok(recent("last event", last, now, REMEDY))
}

async fn last_reconciliation(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<Finding> {
    const REMEDY: &str = "look for `reconciliation is incomplete` in the log, or run \
                          `capital-courier reconcile`";
    let last = reconcile::store::last_complete(db, now).await?;
    Ok(recent("reconciliation", last, now, REMEDY))
}

fn recent(
    what: &'static str,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    remedy: &'static str,
) -> Finding {
    match last {
        Some(at) if now - at < MAX_SILENCE => ok(what, at.to_rfc3339()),
        Some(at) => warn(what, format!("{}, more than a day ago", at.to_rfc3339()), remedy),
        None => warn(what, "never", remedy),
    }
}

/// Bounces are rare, so their age means nothing. None at all may mean that they are not delivered
/// to the service.
async fn last_bounce(db: &Pool) -> sqlx::Result<Finding> {
    const REMEDY: &str = "route bounces and complaints to /inbound or to `capital-courier bounce`: \
                          see docs/operations.md";
    Ok(match feedback::find_last(db).await? {
        Some((at, channel)) => ok("last bounce", format!("{}, by {channel}", at.to_rfc3339())),
        None => warn("last bounce", "never", REMEDY),
    })
}

async fn dead_jobs(db: &Pool) -> sqlx::Result<Finding> {
    Ok(match queue::dead_count(db).await? {
        0 => ok("dead jobs", "none"),
        count => warn("dead jobs", count.to_string(), "run `capital-courier job list`"),
    })
}

async fn transactions(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<Finding> {
    // A summary may be older than the transactions for a while.
    let before = now - financing::summary::MAY_DIFFER_FOR;
    let differing = financing::summary::store::differing(db, before);
    let (differing, unreadable) = tokio::try_join!(differing, financing::unreadable(db))?;
    Ok(if differing == 0 && unreadable == 0 {
        ok("transactions", "match the summaries of Stripe")
    } else {
        warn(
            "transactions",
            format!(
                "{differing} accounts differ from their summary at Stripe, {unreadable} entries \
                 cannot be read"
            ),
            "look for `a transaction of Stripe's list` and `others than Stripe's` in the log",
        )
    })
}

/// Emails sent today, with the limits.
async fn sent_today(
    db: &Pool,
    limits: &SendingLimits,
    now: DateTime<Utc>,
) -> sqlx::Result<Finding> {
    let today = now.date_naive();
    let sent = letters::store::sent_since(db, start_of_day(today, Tz::UTC)).await?;
    let max_today = limits.warm_up.and_then(|warm_up| warm_up.letters_on(today));
    let warm_up = max_today.map(|max| format!(" of {max} (warm-up)")).unwrap_or_default();
    let rates = [
        (u64::from(limits.max_per_second), "per second"),
        (u64::from(limits.max_per_minute), "per minute"),
        (limits.max_per_domain as u64, "at a time per domain"),
    ];
    let rates = rates.iter().filter(|(max, _)| *max > 0);
    let rates: Vec<String> = rates.map(|(max, unit)| format!(", max. {max} {unit}")).collect();
    Ok(ok("emails", format!("{sent}{warm_up} sent today{}", rates.concat())))
}

async fn check_stripe(settings: &Settings, clock: &Clock) -> Finding {
    const REMEDY: &str = "check STRIPE_API_KEY, that Capital is enabled for the platform, and that \
                          the key may read offers";
    let circuit = Circuit::new("stripe", clock.clone());
    let client = match Client::new(settings.stripe.clone(), circuit, clock.clone()) {
        Ok(client) => client,
        Err(error) => {
            return wrong("Stripe", chain(&error), "fix the TLS certificates of this machine");
        }
    };
    let mode = if client.livemode() == Some(true) { "live" } else { "test" };
    match tokio::time::timeout(MAX_WAIT, client.probe()).await {
        Ok(Ok(_)) => {
            ok("Stripe", format!("accepts the key, {mode} mode, at {}", settings.stripe.api_base))
        }
        Ok(Err(error)) => wrong("Stripe", chain(&error), error.key_problem().unwrap_or(REMEDY)),
        Err(_) => wrong("Stripe", "no answer in time", "check the network path to api.stripe.com"),
    }
}

/// Compares the time of the database with that of this machine and of Stripe.
fn check_clock(clock: &Clock) -> Finding {
    const MACHINE: &str =
        "run an NTP client on this machine: its clock is used to verify TLS certificates";
    const DATABASE: &str =
        "run an NTP client on the database server: nothing is sent until its clock is right";
    let machine = clock.wall_clock_skew();
    match clock.agreement() {
        Agreement::Differs(skew) => wrong(
            "clock",
            format!("the database differs from Stripe by {} s", skew.num_seconds()),
            DATABASE,
        ),
        Agreement::Unknown | Agreement::Agrees if machine.abs() > MAX_SKEW => warn(
            "clock",
            format!("this machine differs from the database by {} s", machine.num_seconds()),
            MACHINE,
        ),
        Agreement::Agrees => ok("clock", "the database agrees with Stripe"),
        Agreement::Unknown => warn("clock", "not compared with Stripe", "see `Stripe` above"),
    }
}

fn check_disclaimers(settings: &Settings) -> Finding {
    const REMEDY: &str = "add the wording that Stripe approved to email.disclaimers_dir: live emails \
                          are held without it";
    match app::disclaimers(&settings.email) {
        Err(error) => wrong("disclaimers", format!("{error:#}"), "fix the file"),
        Ok(all) => match all.all().iter().filter(|disclaimer| !disclaimer.is_sample).count() {
            0 => warn("disclaimers", "samples, for test mode only", REMEDY),
            count => ok("disclaimers", format!("{count} approved")),
        },
    }
}

fn check_dkim(sender: &mail::Sender) -> Finding {
    let Some(dkim) = &sender.dkim else {
        let domain = sender.from.domain();
        let found = format!(
            "no key: the relay must sign for {domain}, or mail programs show no unsubscribe button"
        );
        return ok("DKIM", found);
    };
    let found = format!("{}, {}", dkim.record_name(), dkim.algorithm());
    match dkim.algorithm() {
        Algorithm::Ed25519 => {
            warn("DKIM", found, "use an RSA key of 2048 bits: many receivers do not verify Ed25519")
        }
        Algorithm::Rsa { bits: ..2048 } => warn("DKIM", found, "create a key of 2048 bits"),
        Algorithm::Rsa { .. } => {
            ok("DKIM", format!("{found}; `email dkim-record` prints the DNS record"))
        }
    }
}

async fn check_relay(settings: &Settings) -> Finding {
    const UNENCRYPTED: &str =
        "use smtps:// or ?tls=required in SMTP_URL, unless the network to the relay is private";
    let command = settings.email.timeouts.command.min(MAX_WAIT);
    let timeouts = Timeouts { command, ..settings.email.timeouts };
    let circuit = Circuit::new("relay", Clock::system());
    let relay = Relay::new(&settings.email.relay, timeouts, circuit);
    match relay.check().await {
        Ok(name) => {
            let found = format!("{} answers as {name}", settings.email.relay);
            match settings.unencrypted_relay() {
                None => ok("relay", found),
                Some(_) => {
                    warn("relay", format!("{found}; emails may travel unencrypted"), UNENCRYPTED)
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
