//! `job`: list jobs and retry dead ones.

use anyhow::{Context, ensure};

use crate::cli::out::{SECOND, say};
use crate::cli::table;
use crate::database::{self, Pool};
use crate::flow::delivered;
use crate::flow::email::SendLetter;
use crate::letters::{self, operator};
use crate::queue::{self, Work};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List jobs
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
    /// Retry a dead job, starting at its first attempt
    Retry {
        /// The number in the first column of `job list`
        id: i64,
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
            Self::Retry { id } => retry(db, id).await,
        }
    }
}

/// A letter whose job died is held, and a delivery is marked as failed. So it is the letter or the
/// delivery that is retried: the job alone would find nothing to do.
async fn retry(db: &Pool, id: i64) -> anyhow::Result<()> {
    let job = queue::stats::find(db, id).await?.with_context(|| format!("job {id} not found"))?;
    ensure!(job.state == "dead", "job {id} is {}, not dead", job.state);
    let now = database::now(db).await?;
    let mut tx = db.begin().await?;
    let retried = if job.kind == SendLetter::KIND {
        match letters::store::find(&mut *tx, &job.subject).await? {
            Some(letter) => operator::resend(&mut tx, &letter.offer_id, now).await? > 0,
            None => false,
        }
    } else if job.kind == delivered::MarkDelivered::KIND {
        delivered::retry(&mut tx, &job.subject, now).await?
    } else {
        queue::requeue(&mut *tx, &job.kind, &job.subject, now).await?
    };
    tx.commit().await?;
    ensure!(retried, "job {id} is obsolete: its {} was completed in another way", job.subject);
    Ok(say!("queued {}:{}", job.kind, job.subject)?)
}
