//! One email as it was sent: its attempts with their evidence, and the message in every view.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use minijinja::HtmlEscape;
use serde::Serialize;

use super::ConsolePage;
use crate::database::with_timeout;
use crate::flow::email::SendLetter;
use crate::letters::deliveries::{self, DeliverySummary};
use crate::letters::evidence::store::{AttemptRecord, SentMessage, attempts_of, last_message};
use crate::letters::store::{self, Letter};
use crate::mail::mask::masked_recipient;
use crate::queue::stats::JobRow;
use crate::queue::{self, Work};
use crate::web::console::ConsoleState;
use crate::web::console::access::{PageId, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template};
use crate::web::letter_view::{
    self, FrameLinks, LetterSources, LetterView, ParsedEmail, ViewQuery,
};

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
    /// Masked for readers; `None` before the first attempt, and once erased.
    recipient: Option<String>,
    locale: Option<String>,
    subject: Option<String>,
    /// `None` if there is no content: not written yet, or erased.
    letter: Option<LetterView>,
    /// The attempt whose message is shown; `None` if the content was not sent.
    shown_attempt: Option<i32>,
    message_id: String,
    attempts: Vec<AttemptRecord>,
    /// What sends it, while it is not sent.
    job: Option<JobRow>,
    /// What Stripe was told of the offer.
    delivery: Option<DeliverySummary>,
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

/// What is shown of a letter.
struct ShownMessage {
    email: ParsedEmail,
    /// Of the message that was sent last.
    sent: Option<SentMessage>,
}

/// The last message that was sent, or else the content that waits to be sent, as this visitor may
/// see it: without links that act, and for a reader without the address.
async fn shown(
    state: &ConsoleState,
    visitor: &Visitor,
    letter: &Letter,
) -> Result<Option<ShownMessage>, Problem> {
    let sent = with_timeout(last_message(&state.console.db, &letter.letter_id)).await?;
    let sent = sent.filter(|sent| sent.bytes.is_some());
    let email = match sent.as_ref().and_then(|sent| sent.bytes.as_deref()) {
        Some(bytes) => ParsedEmail::parse(bytes),
        None if letter.body_html.is_some() => ParsedEmail {
            headers: Vec::new(),
            text: letter.body_text.clone(),
            html: letter.body_html.clone(),
        },
        None => return Ok(None),
    };
    let mut addresses: Vec<String> = letter.recipient.clone().into_iter().collect();
    // An operator may have changed the address since.
    addresses.extend(email.header("To").map(str::to_owned));
    let email = email.map(|text| {
        let text = without_links(text);
        let mask = |text: String, address: &String| {
            let masked = masked_recipient(address);
            // In HTML it is escaped.
            let escaped = HtmlEscape(address).to_string();
            text.replace(address, &masked).replace(&escaped, &masked)
        };
        if visitor.can_act() { text } else { addresses.iter().fold(text, mask) }
    });
    Ok(Some(ShownMessage { email, sent }))
}

async fn find(state: &ConsoleState, id: &str) -> Result<Letter, Problem> {
    let letter = with_timeout(store::find(&state.console.db, id)).await?;
    letter.ok_or_else(|| Problem::NotFound(format!("The email {id}")))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    PageId(id): PageId,
    Query(query): Query<ViewQuery>,
) -> Result<Response, Problem> {
    let letter = find(&state, &id).await?;
    let ids = [id.clone()];
    let mut attempts = with_timeout(attempts_of(&state.console.db, &ids)).await?;
    for attempt in &mut attempts {
        attempt.recipient = visitor.recipient(&attempt.recipient);
    }
    let jobs = queue::stats::unfinished_about(&state.console.db, SendLetter::KIND, &ids);
    let job = with_timeout(jobs).await?.pop();
    let delivery = deliveries::find(&state.console.db, &letter.offer_id);
    let delivery = with_timeout(delivery).await?;
    let title = letter.subject.clone().unwrap_or_else(|| "An email without content".to_owned());
    let head = PageHead {
        template: "email.html",
        title: &title,
        command: &format!("capital-courier report message {id} --out letter.eml"),
    };
    let shown = shown(&state, &visitor, &letter).await?;
    let view = EmailView {
        letter_id: letter.letter_id,
        offer_id: letter.offer_id,
        account_id: letter.account_id,
        kind: letter.kind,
        state: letter.state.as_str(),
        recipient: letter.recipient.map(|recipient| visitor.recipient(&recipient)),
        locale: letter.locale,
        subject: letter.subject,
        letter: shown.as_ref().map(|shown| letter_view(&id, &visitor, &query, shown)),
        shown_attempt: shown.as_ref().and_then(|shown| Some(shown.sent.as_ref()?.attempt)),
        message_id: letter.message_id,
        attempts,
        job,
        delivery,
    };
    state.page(&visitor, &head, view)
}

fn letter_view(id: &str, visitor: &Visitor, query: &ViewQuery, shown: &ShownMessage) -> LetterView {
    let bytes = shown.sent.as_ref().and_then(|sent| sent.bytes.as_deref());
    let sources = LetterSources {
        page: format!("/console/emails/{id}"),
        frame: format!("/console/emails/{id}/html"),
        query: String::new(),
        links: FrameLinks::Inert,
        // Encoded, it cannot be masked; and its unsubscribe link acts.
        raw: bytes.filter(|_| visitor.can_act()),
    };
    LetterView::new(&shown.email, query, &sources)
}

/// For the frame of the page.
async fn html(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    PageId(id): PageId,
    Query(query): Query<ViewQuery>,
) -> Result<Response, Problem> {
    let letter = find(&state, &id).await?;
    let shown = shown(&state, &visitor, &letter).await?;
    let html = shown.and_then(|shown| shown.email.html);
    let html = html.ok_or_else(|| Problem::NotFound("Its content".to_owned()))?;
    let images = state.console.wordings.writer.settings().brand.logos();
    Ok(letter_view::frame(&html, &query.options(FrameLinks::Inert, images)))
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
