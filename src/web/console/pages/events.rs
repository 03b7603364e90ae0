//! Events from Stripe by state and type; one event with its payload; bodies that were no events.

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConsolePage, PAGE_ROWS, PageLinks, SCANNED_ROWS};
use crate::database::{Cursor, with_timeout};
use crate::flow::inbox::browse::store::{self as browse, InboxList, MalformedBody};
use crate::flow::inbox::store::{self, EventSummary};
use crate::operators::acts;
use crate::web::console::ConsoleState;
use crate::web::console::access::{Act, PageId, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, done};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/events",
    label: Some("Events"),
    templates: &[
        console_template!("events.html"),
        console_template!("event.html"),
        console_template!("malformed.html"),
    ],
};

const STATES: [&str; 5] = ["unread", "read", "ignored", "wrong_mode", "unreadable"];
const MALFORMED_ROWS: i64 = 50;

#[derive(Default, Deserialize)]
#[serde(default)]
struct EventQuery {
    state: String,
    #[serde(rename = "type")]
    event_type: String,
    after: String,
}

const MAX_PRETTY_BYTES: usize = 1 << 20;

#[derive(Serialize)]
struct EventsView<'a> {
    states: [&'static str; 5],
    state: &'a str,
    event_type: &'a str,
    events: Vec<EventSummary>,
    links: PageLinks,
}

#[derive(Serialize)]
struct EventView {
    event: EventSummary,
    /// Indented JSON; the bytes as text if it is none; empty once erased.
    payload: String,
    is_offer: bool,
}

#[derive(Serialize)]
struct MalformedView {
    bodies: Vec<MalformedBody>,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route("/console/events/malformed", get(malformed))
        .route("/console/events/{id}", get(show_one))
        .route("/console/events/{id}/replay", post(replay))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    Query(query): Query<EventQuery>,
) -> Result<Response, Problem> {
    let EventQuery { state: chosen, event_type, after } = &query;
    let list = chosen.parse().unwrap_or(InboxList::All);
    let newest = Cursor { created_at: DateTime::<Utc>::MAX_UTC, id: String::new() };
    let before = after.parse().unwrap_or(newest);
    let is_filtered = !event_type.is_empty() || (list == InboxList::All && !chosen.is_empty());
    let limit = if is_filtered { SCANNED_ROWS } else { PAGE_ROWS + 1 };
    let page = browse::events(&state.console.db, list, &before, limit);
    let mut events = with_timeout(page).await?;
    let is_wanted = |event: &EventSummary| {
        (chosen.is_empty() || event.state == *chosen)
            && event.event_type.contains(event_type.trim())
    };
    let cursor = |event: &EventSummary| {
        Cursor { created_at: event.received_at, id: &event.event_id }.to_string()
    };
    let links = PageLinks::filter(&visitor, (&mut events, limit), is_wanted, cursor);
    // A link must not put words of its own into a command that a person copies.
    let is_state = STATES.contains(&chosen.as_str());
    let option = if is_state { format!(" --state {chosen}") } else { String::new() };
    let head = PageHead {
        template: "events.html",
        title: "Events",
        command: &format!("capital-courier event list{option}"),
    };
    let view = EventsView { states: STATES, state: chosen, event_type, events, links };
    state.page(&visitor, &head, view)
}

async fn show_one(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    PageId(id): PageId,
) -> Result<Response, Problem> {
    let found = with_timeout(store::find(&state.console.db, &id)).await?;
    let (event, body) = found.ok_or_else(|| Problem::NotFound(format!("The event {id}")))?;
    let pretty = serde_json::from_slice(&body)
        .ok()
        .and_then(|payload: Value| serde_json::to_string_pretty(&payload).ok());
    // Indenting multiplies what is nested deeply.
    let pretty = pretty.filter(|text| text.len() <= MAX_PRETTY_BYTES);
    let payload = pretty.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
    let head = PageHead {
        template: "event.html",
        title: &event.event_type.clone(),
        command: &format!("capital-courier event show {}", event.event_id),
    };
    let is_offer =
        event.object_id.as_deref().is_some_and(|object| object.starts_with("financingoffer_"));
    state.page(&visitor, &head, EventView { event, payload, is_offer })
}

async fn malformed(
    State(state): State<ConsoleState>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let bodies = with_timeout(browse::malformed(&state.console.db, MALFORMED_ROWS)).await?;
    let head = PageHead { template: "malformed.html", title: "Malformed bodies", command: "" };
    state.page(&visitor, &head, MalformedView { bodies })
}

async fn replay(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    acts::replay_event(&state.console.db, &act.instruction(), &id).await?;
    let page = format!("{}/{id}", PAGE.path);
    Ok(done(&act.visitor, &page, "The event is unread again: a worker reads it at once"))
}
