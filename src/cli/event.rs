//! `event`: what Stripe sent.

use anyhow::{Context, ensure};

use crate::cli::out::{self, SECOND, note, say};
use crate::cli::table;
use crate::database::Pool;
use crate::flow::inbox::store;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List the newest events
    List {
        /// Only events in this state: `unread`, `read`, `ignored`, `wrong_mode`, `unreadable`
        #[arg(long)]
        state: Option<String>,
        /// Maximum number of events
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the body of an event as received; its state goes to stderr
    ///
    /// On a terminal, control characters are printed as `\u{1b}`.
    Show {
        /// evt_…
        id: String,
    },
    /// Process an event again; repeating it has no further effect
    Replay {
        /// evt_…
        id: String,
    },
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::List { state, limit, json } => {
                let events = store::list(db, state.as_deref(), limit.into()).await?;
                let titles = ["event", "received", "state", "type", "note"];
                table::print(json, &events, titles, |event| {
                    [
                        event.event_id.clone(),
                        event.received_at.format(SECOND).to_string(),
                        event.state.clone(),
                        event.event_type.clone(),
                        event.note.clone().unwrap_or_default(),
                    ]
                })
            }
            Self::Show { id } => {
                let found = store::find(db, &id).await?;
                let (event, body) = found.with_context(|| format!("event {id} not found"))?;
                note!("{} {} {}", event.state, event.event_type, event.note.unwrap_or_default());
                Ok(out::bytes(&body)?)
            }
            Self::Replay { id } => {
                let replayed = store::replay(db, &id).await?;
                ensure!(replayed, "event {id} not found, or not processed yet");
                Ok(say!("{id} is unread again")?)
            }
        }
    }
}
