//! `job`: list jobs and retry dead ones.

use clap::ArgGroup;
use serde_json::json;

use crate::cli::instruction::ReasonArg;
use crate::cli::out::{self, SECOND};
use crate::cli::progress::Progress;
use crate::cli::table;
use crate::database::Pool;
use crate::operators::acts;
use crate::operators::bulk::{self, BulkOutcome};
use crate::queue;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List jobs: the dead ones, or those in another state
    List {
        /// Only jobs in this state: queued, claimed, done, dead
        #[arg(long, default_value = "dead")]
        state: String,
        /// Maximum number of jobs
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Retry a dead job, or all of them; their attempts are counted anew
    #[command(group(ArgGroup::new("selection").required(true).args(["id", "all"])))]
    Retry {
        /// The number in the first column of `job list`
        id: Option<i64>,
        /// All dead jobs
        #[arg(long)]
        all: bool,
        /// With --all: only jobs of this kind, such as `send_letter`
        #[arg(long, requires = "all")]
        kind: Option<String>,
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::List { state, limit, json } => {
                let jobs = queue::stats::list(db, &state, limit.into()).await?;
                let titles = ["job", "due", "work", "attempt", "error"];
                table::print(json, &jobs, titles, |job| {
                    [
                        job.job_id.to_string(),
                        job.due_at.format(SECOND).to_string(),
                        format!("{}:{}", job.kind, job.subject),
                        format!("attempt {}", job.attempt),
                        job.last_error.clone().unwrap_or_default(),
                    ]
                })
            }
            Self::Retry { id: Some(id), reason, json, .. } => {
                acts::retry_job(db, &reason.instruction()?, id).await?;
                let outcome = json!({"job_id": id, "outcome": "queued"});
                out::outcome(json, &outcome, format_args!("queued job {id}"))
            }
            Self::Retry { id: None, kind, reason, json, .. } => {
                retry_all(db, kind.as_deref(), reason, json).await
            }
        }
    }
}

async fn retry_all(
    db: &Pool,
    kind: Option<&str>,
    reason: ReasonArg,
    json: bool,
) -> anyhow::Result<()> {
    let ids = queue::stats::dead_ids(db, kind).await?;
    let by = reason.instruction()?;
    let progress = Progress::bar("jobs", ids.len());
    let BulkOutcome { done, skipped } =
        bulk::retry_jobs(db, &by, &ids, || progress.advance(1)).await?;
    drop(progress);
    out::outcome(
        json,
        &json!({"outcome": "queued", "jobs": done, "skipped": skipped}),
        format_args!("queued {done} jobs; {skipped} are obsolete"),
    )
}
