//! `email approvals`: what Stripe approved, what was withdrawn, and what lacks an approval.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ArgGroup;
use serde_json::json;

use crate::cli::instruction;
use crate::cli::out::{self, DAY, say};
use crate::consent::opt_outs::Note;
use crate::database;
use crate::letters::wording::approvals::store::{self, RecordedApproval};
use crate::letters::wording::approvals::{ApprovalFilter, CopyId, Withdrawal};
use crate::operators::acts;

/// How long a preview waits for a database that is unavailable.
const PREVIEW_PATIENCE: Duration = Duration::from_secs(3);

/// Digits of a hash that tell wordings apart on a terminal.
const HASH_DIGITS: usize = 12;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Action {
    /// List every approval, and the current wordings that no approval covers
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Withdraw approvals: emails with that wording are held, and the Capital section hides open
    /// offers with it
    ///
    /// The approvals stay on record. Emails that wait are held as `copy_not_approved`.
    #[command(group(ArgGroup::new("which").required(true).multiple(true).args(["hash", "reference"])))]
    Withdraw {
        /// The wording: the first digits of its hash
        hash: Option<String>,
        /// The approvals with this reference
        #[arg(long)]
        reference: Option<String>,
        /// Only for this market
        #[arg(long)]
        market: Option<String>,
        /// The reason, for the approval and the log of operators' acts
        #[arg(long, value_name = "TEXT")]
        reason: Note,
        /// Who withdraws
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// An approval as listed.
#[derive(Debug, serde::Serialize)]
struct ListedApproval {
    #[serde(flatten)]
    approval: RecordedApproval,
    /// Whether emails or pages have this wording now.
    is_current: bool,
}

/// A current wording that no approval in force covers.
#[derive(Debug, serde::Serialize)]
struct MissingApproval<'a> {
    copy_hash: &'a str,
    market: Option<&'a str>,
    kind: &'a str,
    language: &'a str,
    disclaimer_variant: &'a str,
}

impl Action {
    /// `current` are the wordings with the operator's disclaimers.
    pub(super) async fn run(
        self,
        settings: &database::Settings,
        current: &[CopyId],
    ) -> anyhow::Result<()> {
        let database = database::open(settings).await?;
        let db = &database.pool;
        match self {
            Self::List { json } => {
                let approvals = store::list(db, &ApprovalFilter::default()).await?;
                list(approvals, current, json)?;
            }
            Self::Withdraw { hash, reference, market, reason, by, json } => {
                let market = market.map(|market| market.to_uppercase());
                let filter = ApprovalFilter {
                    hash_prefix: hash.as_deref(),
                    reference: reference.as_deref(),
                    market: market.as_deref(),
                    is_in_force: true,
                };
                let withdrawal = Withdrawal { reason: reason.as_str(), withdrawn_by: &by };
                let instruction = instruction::because(reason.clone());
                let withdrawn =
                    acts::withdraw_approvals(db, &instruction, &filter, &withdrawal).await?;
                if json {
                    out::json(&json!({"outcome": "withdrawn", "approvals": withdrawn}))?;
                } else {
                    for approval in &withdrawn {
                        say!("withdrawn: {} {}", approval.market, describe(approval))?;
                    }
                }
            }
        }
        database.close().await;
        Ok(())
    }
}

/// The approvals in force; `None` without a configured database, or if it cannot be read. Then the
/// wording can be shown all the same.
pub(super) async fn in_force(settings: &database::Settings) -> Option<Vec<RecordedApproval>> {
    // An embedded database may be in use by the service, and is not started for this.
    settings.url.as_ref()?;
    let read = async {
        let start_timeout = settings.start_timeout.min(PREVIEW_PATIENCE);
        let settings = database::Settings { start_timeout, ..settings.clone() };
        let database = database::open(&settings).await?;
        let filter = ApprovalFilter { is_in_force: true, ..ApprovalFilter::default() };
        let found = store::list(&database.pool, &filter).await;
        database.close().await;
        anyhow::Ok(found?)
    };
    let found = Box::pin(read).await;
    found
        .map_err(|error| tracing::warn!(error = format!("{error:#}"), "cannot read the approvals"))
        .ok()
}

fn list(approvals: Vec<RecordedApproval>, current: &[CopyId], as_json: bool) -> anyhow::Result<()> {
    let hashes: BTreeSet<&str> = current.iter().map(|copy| copy.hash.as_str()).collect();
    let missing: Vec<MissingApproval<'_>> =
        current.iter().filter(|copy| !copy.is_covered_by(&approvals)).map(missing).collect();
    let approvals: Vec<ListedApproval> = approvals
        .into_iter()
        .map(|approval| {
            let is_current = hashes.contains(approval.copy_hash.as_str());
            ListedApproval { approval, is_current }
        })
        .collect();
    if as_json {
        return out::json(&serde_json::json!({ "approvals": approvals, "missing": missing }));
    }
    for ListedApproval { approval, is_current } in &approvals {
        let use_now = if *is_current { "current" } else { "earlier wording" };
        say!("{} {}, {use_now}", approval.market, describe(approval))?;
    }
    for MissingApproval { copy_hash, market, kind, language, disclaimer_variant } in &missing {
        let market = market.unwrap_or("any market");
        say!(
            "{market} {} {kind} {language} {disclaimer_variant}: not approved",
            &copy_hash[..HASH_DIGITS]
        )?;
    }
    let in_force = approvals.iter().filter(|of| of.approval.withdrawn_at.is_none()).count();
    Ok(say!("{in_force} approvals in force, {} current wordings without one", missing.len())?)
}

fn missing(copy: &CopyId) -> MissingApproval<'_> {
    MissingApproval {
        copy_hash: &copy.hash,
        market: copy.market.as_deref(),
        kind: copy.kind,
        language: copy.language.code(),
        disclaimer_variant: &copy.disclaimer_variant,
    }
}

/// The wording, and who approved it and when.
fn describe(approval: &RecordedApproval) -> String {
    let text = |of: &Option<String>| of.clone().unwrap_or_else(|| "-".to_owned());
    let hash: String = approval.copy_hash.chars().take(HASH_DIGITS).collect();
    let withdrawn = approval.withdrawn_at.map(|at| {
        let (by, why) = (text(&approval.withdrawn_by), text(&approval.withdrawal_reason));
        format!(", withdrawn {} by {by}: {why}", at.format(DAY))
    });
    format!(
        "{hash} {} {} {}: approved {} by {} ({}){}",
        text(&approval.kind),
        text(&approval.language),
        text(&approval.disclaimer_variant),
        approval.approved_at.format(DAY),
        approval.approved_by,
        approval.reference,
        withdrawn.unwrap_or_default(),
    )
}
