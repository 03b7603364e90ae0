//! The command `email`: preview and check the wording of emails, record Stripe's approval, print
//! the DKIM record, list who would get an email.

mod approvals;
mod preview;
mod recipients;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, ensure};

use crate::app;
use crate::cli::instruction::ReasonArg;
use crate::cli::out::{self, say};
use crate::cli::progress::Progress;
use crate::config::{Requirement, Settings, WordingSettings, environment};
use crate::database;
use crate::flow::email as letters;
use crate::letters::Kind;
use crate::letters::wording::approvals::{Approval, CAPITAL_SECTION, CopyId};
use crate::letters::wording::samples::{self, Checked, SampleFinding};
use crate::letters::wording::{Disclaimers, Writer};
use crate::mail::Dkim;
use crate::operators::{Instruction, acts};
use crate::telemetry;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Write every email with sample data into a folder, with an index: what a compliance team
    /// submits
    Preview {
        /// The folder; it is created if missing
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check every email against the rules for its wording; exit 1 if one must not be sent
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the DKIM public key as a TXT record for a zone file
    DkimRecord {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the accounts that wait for an email about an open offer, each with its address and
    /// where it comes from, or why there is none; sends nothing
    ///
    /// Asks Stripe about each account, as sending does. Exit status 1 if Stripe could not be asked
    /// about an account.
    Recipients {
        /// Do not mask addresses
        #[arg(long)]
        addresses: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Record that Stripe approved the current emails and the Capital section for a market, and
    /// retry the emails that lacked the approval
    Approve {
        /// Stripe's code of the market: US, GB, DE, FR, AU, CA
        #[arg(long)]
        market: String,
        /// Stripe's reference of the approval
        #[arg(long)]
        reference: String,
        /// Only for this disclaimer; required for one that is newer than this version, because its
        /// market is unknown
        #[arg(long, value_name = "NAME")]
        variant: Option<String>,
        /// Only for this kind of email: `offer`, `previously_eligible`, `refill`, `repeat`,
        /// `reminder_7d`, `reminder_14d`, `re_engagement`; or for the page: `capital_section`
        #[arg(long)]
        kind: Option<CopyKind>,
        /// Who records the approval
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List approvals, and current wordings that have none; withdraw approvals
    #[command(subcommand)]
    Approvals(approvals::Action),
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    if let Action::Recipients { addresses, json } = action {
        let settings = Settings::load(config, &environment(), Requirement::None)?;
        telemetry::init(&settings.telemetry);
        return Box::pin(recipients::run(settings, addresses, json)).await;
    }
    // The others call neither Stripe nor the relay.
    let WordingSettings { email, database } = WordingSettings::load(config, &environment())?;
    telemetry::init(&database.telemetry);
    let (writer, disclaimers) = (app::writer(&email)?, app::disclaimers(&email)?);
    match action {
        // Handled above, with all settings.
        Action::Recipients { .. } => {}
        Action::Preview { dir, json } => {
            let all = disclaimers.all();
            let writing = Progress::spinner("writing the samples");
            let samples = app::samples(&email, &writer, &all)?;
            let approvals = approvals::in_force(&database.database).await;
            let context =
                preview::PreviewContext { writer: &writer, approvals: approvals.as_deref() };
            let cover = preview::write(&dir, &context, &samples)?;
            drop(writing);
            let (index, emails) = (cover.display().to_string(), samples.len());
            out::outcome(
                json,
                &serde_json::json!({"index": index, "emails": emails}),
                format_args!("{index}: {emails} emails"),
            )?;
        }
        Action::Check { json } => return check(&email, &writer, &disclaimers, json),
        Action::DkimRecord { json } => print_record(email.sender.dkim.as_ref(), json)?,
        Action::Approve { market, reference, variant, kind, by, reason, json } => {
            let market = market.to_uppercase();
            let approval = Approval { market: &market, reference: &reference, approved_by: &by };
            let mut copies = app::copies(&writer, &disclaimers);
            copies.retain(|copy| {
                is_of(copy, &market, variant.as_deref())
                    && kind.is_none_or(|kind| kind.as_str() == copy.kind)
            });
            ensure!(
                !copies.is_empty(),
                "no such disclaimer for {market}: put its wording into email.disclaimers_dir, as \
                 <variant>/<language>.txt"
            );
            record(&database.database, &reason.instruction()?, (&copies, &approval), json).await?;
        }
        Action::Approvals(action) => {
            action.run(&database.database, &app::copies(&writer, &disclaimers)).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(
    settings: &letters::Settings,
    writer: &Writer,
    disclaimers: &Disclaimers,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let reading = Progress::spinner("reading every email");
    let Checked { found, letters } = app::check_wording(settings, writer, disclaimers, drop)?;
    drop(reading);
    out::ignore_closed(print_findings(&found, letters, json))?;
    Ok(ExitCode::from(u8::from(samples::has_errors(&found))))
}

fn print_findings(found: &[SampleFinding], letters_read: usize, json: bool) -> anyhow::Result<()> {
    if json {
        return out::json(&found);
    }
    for SampleFinding { finding, letters } in found {
        for line in finding.to_string().lines() {
            say!("{line}")?;
        }
        say!("    in {}", shorten(letters))?;
    }
    Ok(say!("{letters_read} emails read, {} findings", found.len())?)
}

/// The first names, and the number of the others.
fn shorten(letters: &[String]) -> String {
    const MAX_NAMES: usize = 3;
    let shown = letters.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join("; ");
    match letters.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        others => format!("{shown}; and {others} others"),
    }
}

fn print_record(dkim: Option<&Dkim>, json: bool) -> anyhow::Result<()> {
    let dkim = dkim.context("emails are not signed: set email.dkim_key")?;
    let (name, record) = (dkim.record_name(), dkim.record());
    out::outcome(
        json,
        &serde_json::json!({"name": name, "type": "TXT", "value": record}),
        format_args!("{name}. TXT {}", quoted(&record)),
    )
}

/// A string in a TXT record has at most 255 bytes; receivers join several (RFC 6376 section
/// 3.6.2.2).
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

/// Whether an approval for a market covers a wording; of `variant` only, if given.
fn is_of(copy: &CopyId, market: &str, variant: Option<&str>) -> bool {
    let is_of_market = copy.market.as_deref().is_none_or(|of| of == market);
    let is_selected = variant.map_or(copy.market.is_some(), |name| copy.disclaimer_variant == name);
    is_of_market && is_selected
}

/// What an approval may cover.
#[derive(Clone, Copy, Debug)]
pub(super) enum CopyKind {
    Email(Kind),
    CapitalSection,
}

impl FromStr for CopyKind {
    type Err = <Kind as FromStr>::Err;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == CAPITAL_SECTION {
            Ok(Self::CapitalSection)
        } else {
            name.parse().map(Self::Email)
        }
    }
}

impl CopyKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Email(kind) => kind.as_str(),
            Self::CapitalSection => CAPITAL_SECTION,
        }
    }
}

async fn record(
    settings: &database::Settings,
    by: &Instruction,
    (copies, approval): (&[CopyId], &Approval<'_>),
    as_json: bool,
) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let progress = Progress::spinner("recording the approval and retrying emails");
    let retried = acts::approve(&database.pool, by, copies, approval).await?;
    drop(progress);
    database.close().await;
    if as_json {
        let hashes: Vec<&str> = copies.iter().map(|copy| copy.hash.as_str()).collect();
        return out::json(&serde_json::json!({
            "outcome": "approved", "market": approval.market, "reference": approval.reference,
            "wordings": hashes, "queued": retried,
        }));
    }
    for copy in copies {
        let CopyId { hash, kind, language, disclaimer_variant, .. } = copy;
        say!("{hash} {kind} {} {disclaimer_variant}", language.code())?;
    }
    say!("{} wordings approved for {}", copies.len(), approval.market)?;
    say!("{retried} held emails are tried again")?;
    Ok(())
}
