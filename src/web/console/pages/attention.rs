//! What waits for a person, with what resolves it. The first page of the console.

use axum::Router;
use axum::extract::State as FromState;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;

use super::ConsolePage;
use crate::database::with_timeout;
use crate::flow::offer::EMAIL_RULE;
use crate::letters::listing::LetterFilter;
use crate::letters::{State, reason};
use crate::operators::acts;
use crate::operators::attention::{self, Group};
use crate::operators::letters::{self, Change};
use crate::web::console::ConsoleState;
use crate::web::console::access::{Act, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, done};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/attention",
    label: Some("Attention"),
    templates: &[console_template!("attention.html")],
};

/// Entries of each group on the page.
const ITEMS: i64 = 20;
/// Letters that one request retries: an act on more takes longer than a person waits.
const MAX_RELEASED: i64 = 1000;

#[derive(Serialize)]
struct AttentionView {
    groups: Vec<GroupView>,
    /// Which offers get an email.
    rule: &'static str,
    total: i64,
}

#[derive(Serialize)]
struct GroupView {
    sentence: String,
    /// How many are not on the page.
    more: i64,
    can_dismiss: bool,
    #[serde(flatten)]
    group: Group,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route("/console/attention/dismiss", post(dismiss))
        .route("/console/attention/release", post(release))
}

async fn show(
    FromState(state): FromState<ConsoleState>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let now = state.console.clock.now();
    let groups = with_timeout(attention::read(&state.console.db, now, ITEMS)).await?;
    let total = groups.iter().map(|group| group.count).sum();
    let view = |group: Group| GroupView {
        sentence: sentence(&group),
        more: group.count - i64::try_from(group.items.len()).unwrap_or_default(),
        can_dismiss: group.kind.can_dismiss(),
        group,
    };
    let groups = groups.into_iter().map(view).collect();
    let view = AttentionView { groups, rule: EMAIL_RULE, total };
    let head = PageHead {
        template: "attention.html",
        title: "Attention",
        command: "capital-courier attention",
    };
    state.page(&visitor, &head, view)
}

/// `3 emails are held: the relay refused the email`
fn sentence(group: &Group) -> String {
    let (count, noun) = (group.count, group.kind.noun(group.count));
    match (group.reason.as_str(), reason::explain(&group.reason)) {
        ("" | reason::UNCERTAIN, _) => format!("{count} {noun}"),
        // No reason of a letter: the kind of a job.
        (name, why) if name == why => format!("{count} {noun}: {}", name.replace('_', " ")),
        (_, why) => format!("{count} {noun}: {why}"),
    }
}

async fn dismiss(FromState(state): FromState<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let subject = act.fields.text("subject");
    acts::dismiss(&state.console.db, &act.instruction(), subject).await?;
    let said = format!("{subject} is dismissed until it changes");
    Ok(done(&act.visitor, PAGE.path, &said))
}

/// Retries the letters that are held for one reason, at most [`MAX_RELEASED`] at a time.
async fn release(FromState(state): FromState<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let (db, reason) = (&state.console.db, act.fields.text("held_for"));
    let held = LetterFilter {
        state: Some(State::Held),
        reason: Some(reason),
        limit: MAX_RELEASED,
        ..LetterFilter::default()
    };
    let held = with_timeout(letters::list(db, &held, None)).await?;
    let by = act.instruction();
    let released = letters::change_all(db, &by, Change::Release, held, |_| {}).await?;
    let said =
        format!("{released} emails are queued: those that lack what they lacked return here");
    Ok(done(&act.visitor, PAGE.path, &said))
}
