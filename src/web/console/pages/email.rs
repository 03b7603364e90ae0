//! One email as it was sent: how it looked, its text, and its bytes.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::ConsolePage;
use crate::database::with_timeout;
use crate::letters::evidence::store::{AttemptRecord, attempts_of, last_message};
use crate::letters::store::{self, Letter};
use crate::mail::mask::masked_recipient;
use crate::web::console::ConsoleState;
use crate::web::console::access::{PageId, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, letter_html};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/emails/{id}",
    label: None,
    templates: &[console_template!("email.html")],
};

/// What the path of an unsubscribe link begins with.
const UNSUBSCRIBE: &str = "/unsubscribe/";

#[derive(Serialize)]
struct EmailView {
    letter_id: String,
    offer_id: String,
    account_id: String,
    kind: String,
    state: &'static str,
    subject: Option<String>,
    text: Option<String>,
    message_id: String,
    attempts: Vec<AttemptRecord>,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route("/console/emails/{id}/html", get(html))
        .route("/console/emails/{id}/message.eml", get(message))
}

/// The content without the merchant's unsubscribe link, which acts for anyone who follows it.
fn without_links(content: &str) -> String {
    let mut shown = String::new();
    let mut rest = content;
    while let Some(at) = rest.find(UNSUBSCRIBE) {
        let (before, link) = rest.split_at(at + UNSUBSCRIBE.len());
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~');
        shown.push_str(before);
        shown.push('…');
        rest = link.trim_start_matches(is_token);
    }
    shown.push_str(rest);
    shown
}

/// The content as this visitor may see it: without links that act, and for a reader without the
/// address.
fn shown(visitor: &Visitor, letter: &Letter, content: &str) -> String {
    let content = without_links(content);
    match letter.recipient.as_deref().filter(|_| !visitor.can_act()) {
        Some(recipient) => content.replace(recipient, &masked_recipient(recipient)),
        None => content,
    }
}

async fn find(state: &ConsoleState, id: &str) -> Result<Letter, Problem> {
    let letter = with_timeout(store::find(&state.console.db, id)).await?;
    letter.ok_or_else(|| Problem::NotFound(format!("The email {id}")))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    PageId(id): PageId,
) -> Result<Response, Problem> {
    let letter = find(&state, &id).await?;
    let ids = [id.clone()];
    let mut attempts = with_timeout(attempts_of(&state.console.db, &ids)).await?;
    if !visitor.can_act() {
        for attempt in &mut attempts {
            attempt.recipient = masked_recipient(&attempt.recipient);
        }
    }
    let title = letter.subject.clone().unwrap_or_else(|| "An email without content".to_owned());
    let head = PageHead {
        template: "email.html",
        title: &title,
        command: &format!("capital-courier report message {id} --out letter.eml"),
    };
    let text = letter.body_text.as_deref().map(|text| shown(&visitor, &letter, text));
    let view = EmailView {
        letter_id: letter.letter_id,
        offer_id: letter.offer_id,
        account_id: letter.account_id,
        kind: letter.kind,
        state: letter.state.as_str(),
        subject: letter.subject,
        text,
        message_id: letter.message_id,
        attempts,
    };
    state.page(&visitor, &head, view)
}

/// For the frame of the page.
async fn html(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    PageId(id): PageId,
) -> Result<Response, Problem> {
    let letter = find(&state, &id).await?;
    let html =
        letter.body_html.as_deref().ok_or_else(|| Problem::NotFound("Its content".to_owned()))?;
    Ok(letter_html(shown(&visitor, &letter, html)))
}

/// The last message byte for byte.
async fn message(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    PageId(id): PageId,
) -> Result<Response, Problem> {
    // Its unsubscribe link acts, and its address is the merchant's.
    if !visitor.can_act() {
        return Err(Problem::ReadOnly);
    }
    let message = with_timeout(last_message(&state.console.db, &id)).await?;
    let bytes = message.and_then(|message| message.bytes);
    let bytes = bytes.ok_or_else(|| Problem::NotFound("Its message".to_owned()))?;
    let headers = [
        (header::CONTENT_TYPE, "message/rfc822"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"message.eml\""),
    ];
    Ok((headers, bytes).into_response())
}
