//! What waits for a person, with what resolves it. The first page of the console.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;

use super::ConsolePage;
use crate::database::{Dismissed, with_timeout};
use crate::flow::delivered::MarkDelivered;
use crate::letters::stopped;
use crate::operators::acts;
use crate::operators::attention::{self, Group};
use crate::operators::letters::{self, Change};
use crate::queue::{self, Work};
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
    total: i64,
}

#[derive(Serialize)]
struct GroupView {
    sentence: String,
    /// How many are not on the page.
    more: i64,
    #[serde(flatten)]
    group: Group,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route("/console/attention/dismiss", post(dismiss))
        .route("/console/attention/release", post(release))
        .route("/console/attention/resend", post(resend))
        .route("/console/attention/mark", post(mark))
        .route("/console/attention/retry", post(retry))
        .route("/console/attention/replay", post(replay))
}

async fn show(State(state): State<ConsoleState>, visitor: Visitor) -> Result<Response, Problem> {
    let now = state.console.clock.now();
    let groups = with_timeout(attention::read(&state.console.db, now, ITEMS)).await?;
    let total = groups.iter().map(|group| group.count).sum();
    let view = |group: Group| GroupView {
        sentence: attention::sentence(&group),
        more: group.count - i64::try_from(group.items.len()).unwrap_or_default(),
        group,
    };
    let view = AttentionView { groups: groups.into_iter().map(view).collect(), total };
    let head = PageHead {
        template: "attention.html",
        title: "Attention",
        command: "capital-courier attention",
    };
    state.page(&visitor, &head, view)
}

async fn dismiss(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let subject = act.fields.text("subject");
    acts::dismiss(&state.console.db, &act.instruction(), subject).await?;
    let said = format!("{subject} is dismissed until it changes");
    Ok(done(&act.visitor, PAGE.path, &said))
}

async fn resend(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let offer = act.fields.text("offer");
    acts::resend(&state.console.db, &act.instruction(), offer).await?;
    let said = format!("The email about {offer} is queued: its page shows the outcome");
    Ok(done(&act.visitor, PAGE.path, &said))
}

/// Retries the letters that are held for one reason, at most [`MAX_RELEASED`] at a time.
async fn release(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let (db, reason) = (&state.console.db, act.fields.text("held_for"));
    let dismissed = Dismissed::default();
    let held = with_timeout(stopped::list_held(db, reason, &dismissed, MAX_RELEASED)).await?;
    let ids: Vec<String> = held.into_iter().map(|letter| letter.letter_id).collect();
    let by = act.instruction();
    let released = letters::change_all(db, &by, Change::Release, &ids, |_| {}).await?;
    let said =
        format!("{released} emails are queued: those that lack what they lacked return here");
    Ok(done(&act.visitor, PAGE.path, &said))
}

/// Retries the job that marks an offer as delivered.
async fn mark(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let (db, offer) = (&state.console.db, act.fields.text("offer"));
    let job = with_timeout(queue::stats::find_about(db, MarkDelivered::KIND, offer)).await?;
    let job = job.ok_or_else(|| Problem::NotFound(format!("A job for {offer}")))?;
    acts::retry_job(db, &act.instruction(), job.job_id).await?;
    Ok(done(&act.visitor, PAGE.path, &format!("Stripe is asked again about {offer}")))
}

async fn retry(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let job = act.fields.text("job").parse();
    let job = job.map_err(|_| Problem::Invalid("A job has a number.".to_owned()))?;
    acts::retry_job(&state.console.db, &act.instruction(), job).await?;
    Ok(done(&act.visitor, PAGE.path, &format!("Job {job} is queued again")))
}

async fn replay(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let event = act.fields.text("event");
    acts::replay_event(&state.console.db, &act.instruction(), event).await?;
    Ok(done(&act.visitor, PAGE.path, &format!("{event} is read again")))
}
