//! `doctor`: checks the settings and every dependency, and prints a remedy for each problem.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use strum::VariantArray;

use crate::app;
use crate::checks::{self, Check, CheckParts, CheckStatus, DatabasePart, Group};
use crate::cli::out::{self, say};
use crate::cli::progress::Progress;
use crate::clock::Clock;
use crate::config::{ReadableSettings, environment};
use crate::database::{self, Database, OpenError};
use crate::queue::Circuit;
use crate::stripe::Client;
use crate::telemetry::{self, chain};

pub(super) async fn run(config: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let env = environment();
    let settings = ReadableSettings::load(config, &env);
    // The table says all that the log would, unless the log was asked for.
    if let Some(telemetry) = settings.telemetry.as_ref().filter(|_| env.contains_key("RUST_LOG")) {
        telemetry::init(telemetry);
    }
    let mut all = check_settings(&settings);
    let clock = Clock::system();
    let (database, failed) = open_database(&settings).await;
    all.extend(failed);
    let (stripe, failed) = open_stripe(&settings, &clock);
    all.extend(failed);
    let parts = CheckParts {
        clock,
        database: database.as_ref().map(|database| DatabasePart {
            pool: database.pool.clone(),
            is_embedded: database.is_embedded(),
            migrates_on_start: settings.database.as_ref().is_some_and(|of| of.migrate_on_start),
        }),
        webhook_secrets: settings.webhook_secrets.clone().unwrap_or_default(),
        stripe,
        wording: settings.email.as_ref().map(app::wording_part),
        email: settings.email,
        relay: settings.relay,
        public_url: settings.public_url,
    };
    if json {
        all.extend(checks::run_checks(&parts).await);
        out::ignore_closed(out::json(&all))?;
    } else {
        out::ignore_closed(run_and_print(&parts, &mut all).await)?;
    }
    if let Some(database) = database {
        database.close().await;
    }
    Ok(exit_code(&all))
}

/// Prints each check as it ends, and below it what is still checked.
async fn run_and_print(parts: &CheckParts, all: &mut Vec<Check>) -> anyhow::Result<()> {
    print_lines(all)?;
    let mut open = Group::VARIANTS.to_vec();
    let waits_for = |open: &[Group]| {
        let asked: Vec<String> = open.iter().filter_map(|group| group.looks_at(parts)).collect();
        format!("checking {}", asked.join(", "))
    };
    let progress = Progress::spinner("");
    progress.say(waits_for(&open));
    let mut printed = Ok(());
    checks::run_each(parts, |group, checks| {
        open.retain(|other| *other != group);
        progress.say(waits_for(&open));
        if printed.is_ok() {
            printed = progress.above(|| print_lines(&checks));
        }
        all.extend(checks);
    })
    .await;
    drop(progress);
    printed?;
    print_summary(all)
}

/// A line for each error, and one for each part that could not be checked for it.
fn check_settings(settings: &ReadableSettings) -> Vec<Check> {
    const NAME: &str = "settings";
    let wrong = |error: &crate::config::Error| {
        // The message has the remedy.
        Check::wrong(NAME, error.to_string(), "").without_remedy()
    };
    let mut all: Vec<Check> = settings.errors.iter().map(wrong).collect();
    if all.is_empty() {
        let secrets = settings.webhook_secrets.as_ref().map_or(0, Vec::len);
        all.push(Check::ok(NAME, format!("valid, webhook secrets: {secrets}")));
    }
    let parts = [
        ("database", settings.database.is_none()),
        ("Stripe", settings.stripe.is_none()),
        ("relay", settings.relay.is_none()),
        ("wording", settings.email.is_none()),
        ("public URL", settings.public_url.is_none()),
    ];
    let unread = parts.into_iter().filter(|(_, is_unread)| *is_unread);
    all.extend(unread.map(|(name, _)| Check::skipped(name, "its settings are wrong")));
    all
}

/// Does not migrate and does not wait: a check must not change what it checks.
async fn open_database(settings: &ReadableSettings) -> (Option<Database>, Option<Check>) {
    let Some(settings) = &settings.database else { return (None, None) };
    if settings.creates_embedded() {
        let text = format!("new: `serve` starts a Postgres in {}", settings.data_dir.display());
        return (None, Some(Check::ok("database", text)));
    }
    let settings = database::Settings {
        migrate_on_start: false,
        start_timeout: Duration::ZERO,
        ..settings.clone()
    };
    match database::open(&settings).await {
        Ok(database) => (Some(database), None),
        Err(error) => (None, Some(not_opened(&error))),
    }
}

fn not_opened(error: &OpenError) -> Check {
    const NAME: &str = "database";
    if let OpenError::Unreachable { at, source, .. } = error {
        let text = format!("cannot reach Postgres at {at}: {}", chain(source));
        let remedy = "check that it runs, and that the user of DATABASE_URL may log in";
        return Check::wrong(NAME, text, remedy);
    }
    if let OpenError::EmbeddedInUse(_) = error {
        return Check::wrong(NAME, chain(error), "").without_remedy();
    }
    Check::wrong(NAME, chain(error), "set DATABASE_URL to a running Postgres")
}

fn open_stripe(settings: &ReadableSettings, clock: &Clock) -> (Option<Client>, Option<Check>) {
    let Some(settings) = &settings.stripe else { return (None, None) };
    match Client::new(settings.clone(), Circuit::new("stripe", clock.clone()), clock.clone()) {
        Ok(client) => (Some(client), None),
        Err(error) => {
            let remedy = "fix the TLS certificates of this machine";
            (None, Some(Check::wrong("Stripe", chain(&error), remedy)))
        }
    }
}

/// A line for each check, its remedy below it, and a sentence.
pub(super) fn print_checks(all: &[Check], json: bool) -> anyhow::Result<()> {
    if json {
        return out::json(&all);
    }
    print_lines(all)?;
    print_summary(all)
}

/// A line for each check, its remedy below it.
fn print_lines(all: &[Check]) -> anyhow::Result<()> {
    for Check { name, status, text, remedy } in all {
        let status = match status {
            CheckStatus::Ok => "ok   ",
            CheckStatus::Warn => "warn ",
            CheckStatus::Wrong => "WRONG",
            CheckStatus::Skipped => "-    ",
        };
        say!("{status}  {name:<17} {text}")?;
        if let Some(remedy) = remedy {
            say!("                         → {remedy}")?;
        }
    }
    Ok(())
}

fn print_summary(all: &[Check]) -> anyhow::Result<()> {
    say!("")?;
    Ok(say!("{}", checks::summary(all))?)
}

/// 1 if something is wrong.
pub(super) fn exit_code(all: &[Check]) -> ExitCode {
    let is_wrong = all.iter().any(|check| check.status == CheckStatus::Wrong);
    ExitCode::from(u8::from(is_wrong))
}
