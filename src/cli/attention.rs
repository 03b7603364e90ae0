//! `attention`: what waits for an operator, and what resolves it.

use crate::cli::instruction::ReasonArg;
use crate::cli::out::{self, MINUTE, say};
use crate::database::{self, Pool};
use crate::operators::acts;
use crate::operators::attention::{self, Group, Item};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print at most this many entries of each kind
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Hide an entry until it changes
    Dismiss {
        /// The first column of the list: letter:…, job:…, event:…, body:…, offer:…, account:…
        subject: String,
        #[command(flatten)]
        reason: ReasonArg,
    },
}

impl Args {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        if let Some(Action::Dismiss { subject, reason }) = self.action {
            acts::dismiss(db, &reason.instruction()?, &subject).await?;
            return Ok(say!("{subject}: dismissed")?);
        }
        let now = database::now(db).await?;
        let groups = attention::read(db, now, self.limit.into()).await?;
        if self.json {
            return out::json(&groups);
        }
        if groups.is_empty() {
            return Ok(say!("nothing waits for you")?);
        }
        groups.iter().try_for_each(print)
    }
}

fn print(group: &Group) -> anyhow::Result<()> {
    say!("{}, since {}", attention::sentence(group), group.since.format(MINUTE))?;
    say!("  {}", group.remedy)?;
    for item in &group.items {
        say!("  {}", describe(item))?;
    }
    let more = group.count - i64::try_from(group.items.len()).unwrap_or(i64::MAX);
    if more > 0 {
        say!("  and {more} more")?;
    }
    Ok(())
}

fn describe(item: &Item) -> String {
    let ids = [&item.offer_id, &item.account_id].into_iter().flatten();
    let ids: Vec<&str> = ids.map(String::as_str).collect();
    let note = item.note.as_deref().unwrap_or_default();
    format!("{}  {}  {}  {note}", item.subject, item.since.format(MINUTE), ids.join("  "))
        .trim_end()
        .to_owned()
}
