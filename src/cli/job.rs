//! `job`: look at work, and have what was given up done after all.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::cli::out::{self, say};
use crate::database::{self, Pool};
use crate::flow::delivered;
use crate::flow::email::SendLetter;
use crate::letters::{self, operator};
use crate::queue::{self, Work};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List jobs
    List {
        /// Those in this state: queued, claimed, done, dead
        #[arg(long, default_value = "dead")]
        state: String,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have a dead job done after all, from its first attempt
    Retry {
        /// The number that `job list` prints first
        id: i64,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    super::with_database(config, async |db| act(db, action).await).await
}

async fn act(db: &Pool, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { state, limit, json } => {
            let jobs = queue::stats::list(db, &state, i64::from(limit)).await?;
            if json {
                return out::json(&jobs);
            }
            for job in jobs {
                let at = job.due_at.format("%Y-%m-%d %H:%M:%S");
                let error = job.last_error.unwrap_or_default();
                say!(
                    "{:>8}  {at}  {}:{}  attempt {}  {error}",
                    job.job_id,
                    job.kind,
                    job.subject,
                    job.attempt
                )?;
            }
            Ok(())
        }
        Action::Retry { id } => retry(db, id).await,
    }
}

/// A job alone would find that its letter is held or its delivery refused, and do nothing: what it is about is taken up again.
async fn retry(db: &Pool, id: i64) -> anyhow::Result<()> {
    let job = queue::stats::find(db, id).await?.with_context(|| format!("there is no job {id}"))?;
    ensure!(job.state == "dead", "job {id} is {}, not dead", job.state);
    let now = database::now(db).await?;
    let mut tx = db.begin().await?;
    let taken_up = if job.kind == SendLetter::KIND {
        match letters::store::offer_of(&mut *tx, &job.subject).await? {
            Some(offer) => operator::resend(&mut tx, &offer, now).await? > 0,
            None => false,
        }
    } else if job.kind == delivered::MarkDelivered::KIND {
        delivered::retry(&mut tx, &job.subject, now).await?
    } else {
        queue::requeue(&mut *tx, &job.kind, &job.subject, now).await?
    };
    tx.commit().await?;
    ensure!(taken_up, "job {id} has nothing left to do: what it is about was settled otherwise");
    say!("{}:{} is queued again", job.kind, job.subject)?;
    Ok(())
}
