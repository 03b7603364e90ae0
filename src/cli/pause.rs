//! `pause` and `resume`: the emergency brake.

use super::instruction::ReasonArg;
use super::out::{self, SECOND, say};
use crate::database::Pool;
use crate::letters::Kind;
use crate::letters::pauses::{self, Pause, Paused, Scope, UnsentCounts};
use crate::operators::pause::{Resumed, pause, resume};

#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    reason: ReasonArg,
    /// List the pauses in force, and change nothing
    #[arg(long, conflicts_with_all = ["market", "kind", "reason"])]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    reason: ReasonArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ScopeArgs {
    /// Only emails for this market: US, GB, DE, FR, AU, CA
    #[arg(long)]
    market: Option<String>,
    /// Only this kind of email: `offer`, `previously_eligible`, `refill`, `repeat`,
    /// `reminder_7d`, `reminder_14d`, `re_engagement`
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
        let Self { scope, reason, list, json } = self;
        if list {
            return print_in_force(&pauses::in_force(db).await?, json);
        }
        let scope = scope.check(db).await?;
        let (paused, unsent) = pause(db, &reason.instruction()?, &scope).await?;
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
        let Self { scope, reason, json } = self;
        let scope = scope.check(db).await?;
        let resumed = resume(db, &reason.instruction()?, &scope).await?;
        if json {
            return out::json(&resumed);
        }
        let Resumed { ended, in_force, unsent } = resumed;
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
    if as_json {
        return out::json(&in_force);
    }
    in_force.iter().try_for_each(|pause| Ok(say!("{}", describe(pause))?))
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
