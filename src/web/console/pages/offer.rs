//! One offer: why its merchant has an email or none, each email as sent, and all that happened.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{ConsolePage, money};
use crate::database::with_timeout;
use crate::flow::delivered::MarkDelivered;
use crate::operators::offer_case::{self, OfferCase};
use crate::operators::{acts, letters};
use crate::queue::{self, Work};
use crate::web::console::ConsoleState;
use crate::web::console::access::{Act, PageId, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, done};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/offers/{id}",
    label: None,
    templates: &[console_template!("offer.html")],
};

#[derive(Serialize)]
struct OfferView {
    amount: String,
    fee: String,
    moments: Vec<Moment>,
    #[serde(flatten)]
    case: OfferCase,
}

/// A line of the timeline.
#[derive(Serialize)]
struct Moment {
    at: DateTime<Utc>,
    what: String,
    /// An operator's act, an attempt to send, or an entry of the timeline.
    source: &'static str,
    note: String,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route("/console/offers/{id}/mark", post(mark))
        .route("/console/offers/{id}/resend", post(resend))
        .route("/console/offers/{id}/send-again", post(send_again))
        .route("/console/offers/{id}/withdraw", post(withdraw))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    PageId(id): PageId,
) -> Result<Response, Problem> {
    let case = with_timeout(offer_case::read(&state.console.db, &id)).await?;
    let mut case = case.ok_or_else(|| Problem::NotFound(format!("The offer {id}")))?;
    for attempt in &mut case.attempts {
        attempt.recipient = visitor.recipient(&attempt.recipient);
    }
    let amount = |minor: Option<i64>| money(minor, case.offer.currency.as_deref());
    let (offered, fee) = (amount(case.offer.advance_minor), amount(case.offer.fee_minor));
    let head = PageHead {
        template: "offer.html",
        title: &format!("{offered} for {}", case.offer.account_id),
        command: &format!("capital-courier offer show {id}"),
    };
    let view = OfferView { amount: offered, fee, moments: moments(&case), case };
    state.page(&visitor, &head, view)
}

/// Everything that happened, in order of time.
fn moments(case: &OfferCase) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    moments.extend(case.timeline.iter().map(|entry| {
        let moved = match (&entry.status_before, &entry.status_after) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (None, Some(after)) => after.clone(),
            (Some(_) | None, None) => String::new(),
        };
        let note = entry.note.clone().unwrap_or_default();
        let parts: Vec<String> =
            [moved, note].into_iter().filter(|part| !part.is_empty()).collect();
        Moment {
            at: entry.happened_at,
            what: entry.kind.clone(),
            source: "timeline",
            note: parts.join(" · "),
        }
    }));
    moments.extend(case.attempts.iter().map(|attempt| Moment {
        at: attempt.attempted_at,
        what: format!("attempt {} to send the email", attempt.attempt),
        source: "attempt",
        note: match (&attempt.outcome, &attempt.reply) {
            (Some(outcome), Some(reply)) => format!("{outcome} · {reply}"),
            (Some(outcome), None) => outcome.clone(),
            (None, _) => "under way".to_owned(),
        },
    }));
    moments.extend(case.actions.iter().map(|action| Moment {
        at: action.acted_at,
        what: action.action.clone(),
        source: "act",
        note: format!(
            "{} by {}: {}",
            action.outcome,
            action.operator,
            action.reason.as_deref().unwrap_or("no reason given")
        ),
    }));
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// Retries the job that marks the offer as delivered.
async fn mark(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    let db = &state.console.db;
    let job = with_timeout(queue::stats::find_about(db, MarkDelivered::KIND, &id)).await?;
    let job = job.ok_or_else(|| Problem::NotFound(format!("A job that marks {id}")))?;
    acts::retry_job(db, &act.instruction(), job.job_id).await?;
    let said = "Stripe is asked again. Reload this page to see its answer";
    Ok(done(&act.visitor, &format!("/console/offers/{id}"), said))
}

async fn resend(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    acts::resend(&state.console.db, &act.instruction(), &id).await?;
    let said = "The email is queued. Reload this page to see what came of it";
    Ok(done(&act.visitor, &format!("/console/offers/{id}"), said))
}

/// One more email to a merchant who has one.
async fn send_again(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    letters::send_again(&state.console.db, &act.instruction(), &id).await?;
    let said = "One more email is queued. Reload this page to see what came of it";
    Ok(done(&act.visitor, &format!("/console/offers/{id}"), said))
}

async fn withdraw(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    acts::withdraw(&state.console.db, &act.instruction(), &id).await?;
    Ok(done(&act.visitor, &format!("/console/offers/{id}"), "The email is withdrawn"))
}
