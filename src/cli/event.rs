//! `event`: what Stripe sent.

use anyhow::Context;
use clap::ArgGroup;
use serde_json::{Value, json};

use crate::cli::instruction::ReasonArg;
use crate::cli::out::{self, SECOND, note};
use crate::cli::progress::Progress;
use crate::cli::table;
use crate::database::Pool;
use crate::flow::inbox::store;
use crate::operators::acts;
use crate::operators::bulk::{self, BulkOutcome};

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
        /// Print JSON: the state and the body
        #[arg(long)]
        json: bool,
    },
    /// Process an event again; repeating it has no further effect
    #[command(group(ArgGroup::new("selection").required(true).args(["id", "all"])))]
    Replay {
        /// evt_…
        id: Option<String>,
        /// All events in the state given by --state
        #[arg(long, requires = "state")]
        all: bool,
        /// With --all: `unreadable`, `ignored`, `wrong_mode`
        #[arg(long, requires = "all", value_parser = ["unreadable", "ignored", "wrong_mode"])]
        state: Option<String>,
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
            Self::Show { id, json } => {
                let found = store::find(db, &id).await?;
                let (event, body) = found.with_context(|| format!("event {id} not found"))?;
                if json {
                    // A body that is no JSON, or was erased, is shown as text.
                    let text = String::from_utf8_lossy(&body);
                    let body = serde_json::from_slice(&body).unwrap_or_else(|_| Value::from(text));
                    return out::json(&json!({"event": event, "body": body}));
                }
                note!("{} {} {}", event.state, event.event_type, event.note.unwrap_or_default());
                Ok(out::bytes(&body)?)
            }
            Self::Replay { id: Some(id), reason, json, .. } => {
                acts::replay_event(db, &reason.instruction()?, &id).await?;
                let outcome = json!({"event_id": id, "outcome": "unread"});
                out::outcome(json, &outcome, format_args!("{id} is unread again"))
            }
            Self::Replay { state, reason, json, .. } => {
                let state = state.unwrap_or_default();
                let by = reason.instruction()?;
                let progress = Progress::counter("events");
                let BulkOutcome { done, skipped } =
                    bulk::replay_events(db, &by, &state, || progress.advance(1)).await?;
                drop(progress);
                out::outcome(
                    json,
                    &json!({"outcome": "unread", "events": done, "skipped": skipped}),
                    format_args!("{done} events are unread again; {skipped} cannot be read again"),
                )
            }
        }
    }
}
