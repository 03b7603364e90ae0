//! `event`: look at what Stripe sent, and have it read again.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::cli::out::{self, note, say};
use crate::database::Pool;
use crate::flow::inbox;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List the newest events
    List {
        /// Only those in this state: `unread`, `read`, `ignored`, `wrong_mode`, `unreadable`
        #[arg(long)]
        state: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print an event's body as it came; what we made of it goes to stderr
    ///
    /// To a terminal, control characters are printed as `\u{1b}`.
    Show {
        /// evt_…
        id: String,
    },
    /// Have an event read again, by whatever process works. Nothing happens twice
    Replay {
        /// evt_…
        id: String,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    super::with_database(config, async |db| act(db, action).await).await
}

async fn act(db: &Pool, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { state, limit, json } => {
            let events = inbox::store::list(db, state.as_deref(), i64::from(limit)).await?;
            if json {
                return out::json(&events);
            }
            for event in events {
                let at = event.received_at.format("%Y-%m-%d %H:%M:%S");
                let note = event.note.unwrap_or_default();
                say!(
                    "{}  {at}  {:<10}  {:<45}  {note}",
                    event.event_id,
                    event.state,
                    event.event_type
                )?;
            }
            Ok(())
        }
        Action::Show { id } => {
            let found = inbox::store::find(db, &id).await?;
            let (event, payload) = found.with_context(|| format!("no event {id} is known"))?;
            note!("{} {} {}", event.state, event.event_type, event.note.unwrap_or_default());
            Ok(out::bytes(&payload)?)
        }
        Action::Replay { id } => {
            ensure!(
                inbox::store::replay(db, &id).await?,
                "no event {id} is known that was read before"
            );
            say!("{id} is unread again")?;
            Ok(())
        }
    }
}
