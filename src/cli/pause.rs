//! `pause` and `resume`: the emergency brake.

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::out::{self, SECOND, say};
use crate::database::{self, Pool};
use crate::letters::Kind;
use crate::letters::pauses::{self, Pause, Paused, Scope, UnsentCounts};

#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        required_unless_present = "list"
    )]
    reason: Option<String>,
    /// Who pauses
    #[arg(long, value_name = "NAME", default_value = "operator")]
    by: String,
    /// List the pauses in force, and change nothing
    #[arg(long, conflicts_with_all = ["market", "kind", "reason", "by"])]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Who resumes
    #[arg(long, value_name = "NAME", default_value = "operator")]
    by: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ScopeArgs {
    /// Only emails for this market: US, GB, DE, FR, AU, CA
    #[arg(long)]
    market: Option<String>,
    /// Only this kind of email: offer, `previously_eligible`, refill, repeat, `reminder_7d`,
    /// `reminder_14d`, `re_engagement`
    #[arg(long)]
    kind: Option<Kind>,
}

impl ScopeArgs {
    async fn check(self, db: &Pool) -> anyhow::Result<Scope> {
        let market = match &self.market {
            Some(given) => Some(pauses::check_market(db, given).await?),
            None => None,
        };
        Ok(Scope { market, kind: self.kind })
    }
}

impl PauseArgs {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        let Self { scope, reason, by, list, json } = self;
        if list {
            return print_in_force(&pauses::in_force(db).await?, json);
        }
        let reason = reason.context("give --reason")?;
        let scope = scope.check(db).await?;
        let mut tx = db.begin().await?;
        let now = database::now(&mut *tx).await?;
        let paused = pauses::pause(&mut tx, &scope, &by, &reason, now).await?;
        let unsent = pauses::count_unsent(&mut tx).await?;
        tx.commit().await?;
        let (pause, is_new) = match paused {
            Paused::Begun(pause) => (pause, true),
            Paused::Already(pause) => (pause, false),
        };
        if json {
            let value = serde_json::json!({ "pause": pause, "is_new": is_new, "unsent": unsent });
            return out::json(&value);
        }
        print_paused(&pause, is_new, unsent)
    }
}

impl ResumeArgs {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        let Self { scope, reason, by, json } = self;
        let scope = scope.check(db).await?;
        let mut tx = db.begin().await?;
        let now = database::now(&mut *tx).await?;
        let ended = pauses::resume(&mut tx, &scope, &by, &reason, now).await?;
        let in_force = pauses::in_force(&mut *tx).await?;
        let unsent = pauses::count_unsent(&mut tx).await?;
        tx.commit().await?;
        if json {
            let value =
                serde_json::json!({ "ended": ended, "in_force": in_force, "unsent": unsent });
            return out::json(&value);
        }
        match ended {
            Some(pause) => {
                say!("resumed {pause}, paused since {}", pause.paused_at.format(SECOND))?;
                say!("  {} emails wait, and leave at the usual rate", unsent.waiting)?;
            }
            None => say!("nothing to resume: no pause of {scope} is in force")?,
        }
        in_force.iter().try_for_each(|pause| Ok(say!("  still paused: {}", describe(pause))?))
    }
}

fn print_in_force(in_force: &[Pause], as_json: bool) -> anyhow::Result<()> {
    if in_force.is_empty() && !as_json {
        return Ok(say!("no pause is in force")?);
    }
    out::list(as_json, in_force, describe)
}

fn print_paused(pause: &Pause, is_new: bool, unsent: UnsentCounts) -> anyhow::Result<()> {
    let UnsentCounts { sending, waiting } = unsent;
    if is_new {
        say!("paused {pause}: none begins to leave until `capital-courier resume`")?;
    } else {
        say!("paused before, nothing changed: {}", describe(pause))?;
    }
    say!("  {sending} emails are being handed to the relay, and are finished; {waiting} wait")?;
    Ok(())
}

fn describe(pause: &Pause) -> String {
    let Pause { paused_by, reason, .. } = pause;
    format!("{pause}, since {} by {paused_by}: {reason}", pause.paused_at.format(SECOND))
}
