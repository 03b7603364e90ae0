//! `email`: see what letters look like, record that Stripe approved them, and what the DNS has to say about their signature.

mod preview;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::app;
use crate::cli::out::{self, say};
use crate::config::{Requirement, Settings, environment};
use crate::database;
use crate::letters::Kind;
use crate::letters::lint::Rules;
use crate::letters::wording::approvals::{self, Approval};
use crate::letters::wording::samples::{self, Found};
use crate::letters::wording::{Disclaimer, Disclaimers, Writer};
use crate::mail::Dkim;
use crate::telemetry;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Write every letter with sample data into a folder, with a cover page: what a compliance team submits
    Preview {
        /// The folder; it is made where it is missing
        dir: PathBuf,
    },
    /// Read every letter against the rules for its wording; exit 1 where one must not go out like this
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the TXT record by which receivers check the signature of the letters (DKIM), as a zone file has it
    DkimRecord,
    /// Record that Stripe approved the letters for a market as they are now, and send those that were held for want of it
    Approve {
        /// Two letters, as Stripe counts markets: US, GB, DE, FR, AU, CA
        #[arg(long)]
        market: String,
        /// Stripe's reference of the approval
        #[arg(long)]
        reference: String,
        /// For this disclaimer alone: needed for one that Stripe added after this version, whose market nobody knows here
        #[arg(long, value_name = "NAME")]
        variant: Option<String>,
        /// For this kind of letter alone: offer, refill, repeat, `reminder_7d`, `reminder_14d`, `re_engagement`
        #[arg(long)]
        kind: Option<Kind>,
        /// Who records it
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, &environment(), Requirement::None)?;
    telemetry::init(&settings.telemetry);
    let (writer, disclaimers) = (app::writer(&settings.email)?, app::disclaimers(&settings.email)?);
    match action {
        Action::Preview { dir } => {
            let all = disclaimers.all();
            let samples = app::samples(&settings.email, &writer, &all)?;
            preview::write(&dir, settings.email.sender.from.address(), &writer, &samples)?;
        }
        Action::Check { json } => return check(&settings, &writer, &disclaimers, json),
        Action::DkimRecord => print_record(settings.email.sender.dkim.as_ref())?,
        Action::Approve { market, reference, variant, kind, by } => {
            let market = market.to_uppercase();
            let approval = Approval { market: &market, reference: &reference, approved_by: &by };
            let kinds = kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
            let wordings = wordings(&disclaimers, &market, variant.as_deref());
            let hashes = hashes(&writer, &kinds, &wordings);
            ensure!(
                !hashes.is_empty(),
                "there is no such disclaimer for {market}: put its wording into email.disclaimers_dir, as <variant>/<language>.txt"
            );
            approve(&settings, &hashes, &approval).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(
    settings: &Settings,
    writer: &Writer,
    disclaimers: &Disclaimers,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let all = disclaimers.all();
    let samples = app::samples(&settings.email, writer, &all)?;
    let found = samples::check(writer, &Rules::built_in()?, &samples);
    out::ignore_closed(print(&found, samples.len(), json))?;
    Ok(ExitCode::from(u8::from(samples::has_errors(&found))))
}

fn print(found: &[Found], letters_read: usize, json: bool) -> anyhow::Result<()> {
    if json {
        return out::json(&found);
    }
    for Found { finding, letters } in found {
        for line in finding.to_string().lines() {
            say!("{line}")?;
        }
        say!("    in {}", said(letters))?;
    }
    Ok(say!("{letters_read} letters read, {} findings", found.len())?)
}

/// The first letters, and how many others there are.
fn said(letters: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = letters.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    match letters.len().saturating_sub(SHOWN) {
        0 => shown,
        others => format!("{shown}; and {others} others"),
    }
}

fn print_record(dkim: Option<&Dkim>) -> anyhow::Result<()> {
    let dkim = dkim.context("letters are not signed here: set email.dkim_key")?;
    say!("{}. TXT {}", dkim.record_name(), quoted(&dkim.record()))?;
    Ok(())
}

/// A string in the DNS has 255 bytes at most; receivers put several together (RFC 6376 section 3.6.2.2).
fn quoted(record: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = record;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.len().min(255));
        parts.push(format!("\"{part}\""));
        rest = after;
    }
    parts.join(" ")
}

/// The operator's wordings for a market, or one of them by its name.
fn wordings(disclaimers: &Disclaimers, market: &str, variant: Option<&str>) -> Vec<Disclaimer> {
    let fits = |found: &Disclaimer| {
        let is_of_market = found.market.as_deref().is_none_or(|of| of == market);
        let is_meant = variant.map_or(found.market.is_some(), |name| found.variant == name);
        !found.is_sample && is_of_market && is_meant
    };
    disclaimers.all().into_iter().filter(fits).collect()
}

fn hashes(writer: &Writer, kinds: &[Kind], wordings: &[Disclaimer]) -> Vec<String> {
    let of = |wording| kinds.iter().map(move |kind| writer.copy_hash(*kind, wording));
    wordings.iter().flat_map(of).collect()
}

async fn approve(
    settings: &Settings,
    hashes: &[String],
    approval: &Approval<'_>,
) -> anyhow::Result<()> {
    let database = database::open(&settings.database).await?;
    let now = database::now(&database.pool).await?;
    let mut tx = database.pool.begin().await?;
    approvals::approve(&mut tx, hashes, approval, now).await?;
    tx.commit().await?;
    let released = approvals::release(&database.pool, now).await?;
    database.close().await;
    say!("approved for {}: {} letters, {}", approval.market, hashes.len(), hashes.join(", "))?;
    say!("{released} letters that were held are tried again")?;
    Ok(())
}
