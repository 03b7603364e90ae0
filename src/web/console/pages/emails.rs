//! Emails by state, reason and kind.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator;

use super::{ConsolePage, PAGE_ROWS, PageLinks, SCANNED_ROWS};
use crate::database::{Cursor, with_timeout};
use crate::flow::email::SendLetter;
use crate::flow::offer::EMAIL_RULE;
use crate::letters::listing::{self, Addressee, ListedLetter};
use crate::letters::{self, Kind, reason};
use crate::queue::{self, Work};
use crate::web::console::ConsoleState;
use crate::web::console::access::Visitor;
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/emails",
    label: Some("Emails"),
    templates: &[console_template!("emails.html")],
};

const PAGE_COMMAND: &str = "capital-courier letter list";

#[derive(Default, Deserialize)]
#[serde(default)]
struct EmailQuery {
    state: String,
    reason: String,
    kind: String,
    after: String,
}

#[derive(Serialize)]
struct EmailsView<'a> {
    states: Vec<&'static str>,
    reasons: &'static [&'static str],
    kinds: [&'static str; 7],
    state: &'a str,
    reason: &'a str,
    kind: &'a str,
    emails: Vec<EmailRow>,
    /// Which offers get an email.
    rule: &'static str,
    links: PageLinks,
}

/// A letter with what the page says beside it.
#[derive(Serialize)]
struct EmailRow {
    #[serde(flatten)]
    letter: ListedLetter,
    /// Masked for readers.
    recipient: Option<String>,
    locale: Option<String>,
    /// Why the last attempt failed, of a letter that waits.
    last_error: Option<String>,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route(PAGE.path, get(show))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    Query(query): Query<EmailQuery>,
) -> Result<Response, Problem> {
    let EmailQuery { state: chosen, reason, kind, after } = &query;
    let states: Vec<letters::State> = match chosen.parse() {
        Ok(state) => vec![state],
        Err(_) => letters::State::iter().collect(),
    };
    let newest = Cursor { created_at: DateTime::<chrono::Utc>::MAX_UTC, id: String::new() };
    let before = after.parse().unwrap_or(newest);
    let is_filtered = !reason.is_empty() || !kind.is_empty();
    let limit = if is_filtered { SCANNED_ROWS } else { PAGE_ROWS + 1 };
    let page = listing::last_changed(&state.console.db, &states, &before, limit);
    let mut emails = with_timeout(page).await?;
    let is_wanted = |email: &ListedLetter| {
        (reason.is_empty() || email.reason.as_deref() == Some(reason))
            && (kind.is_empty() || email.kind == *kind)
    };
    let cursor = |email: &ListedLetter| {
        Cursor { created_at: email.changed_at, id: &email.letter_id }.to_string()
    };
    let links = PageLinks::filter(&visitor, (&mut emails, limit), is_wanted, cursor);
    let options = [("state", chosen), ("reason", reason), ("kind", kind)].into_iter();
    // A link must not put words of its own into a command that a person copies.
    let is_word =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let options = options.filter(|(_, value)| !value.is_empty() && is_word(value));
    let options = options.map(|(name, value)| format!("--{name} {value}"));
    let words: Vec<String> = [PAGE_COMMAND.to_owned()].into_iter().chain(options).collect();
    let command = words.join(" ");
    let head = PageHead { template: "emails.html", title: "Emails", command: &command };
    let view = EmailsView {
        states: letters::State::iter().map(letters::State::as_str).collect(),
        reasons: reason::ALL,
        kinds: Kind::ALL.map(Kind::as_str),
        state: chosen,
        reason,
        kind,
        emails: rows(&state, &visitor, emails).await?,
        rule: EMAIL_RULE,
        links,
    };
    state.page(&visitor, &head, view)
}

/// Adds where each letter goes, and why it is not sent.
async fn rows(
    state: &ConsoleState,
    visitor: &Visitor,
    letters: Vec<ListedLetter>,
) -> Result<Vec<EmailRow>, Problem> {
    let db = &state.console.db;
    let ids: Vec<String> = letters.iter().map(|letter| letter.letter_id.clone()).collect();
    let addressees = with_timeout(listing::addressees(db, &ids)).await?;
    let jobs = with_timeout(queue::stats::unfinished_about(db, SendLetter::KIND, &ids)).await?;
    let mut addressees: HashMap<String, Addressee> =
        addressees.into_iter().map(|of| (of.letter_id.clone(), of)).collect();
    let mut errors: HashMap<String, String> =
        jobs.into_iter().filter_map(|job| Some((job.subject, job.last_error?))).collect();
    let row = |letter: ListedLetter| {
        let (recipient, locale) = addressees
            .remove(&letter.letter_id)
            .map_or((None, None), |addressee| (addressee.recipient, addressee.locale));
        EmailRow {
            last_error: errors.remove(&letter.letter_id),
            recipient: recipient.map(|recipient| visitor.recipient(&recipient)),
            locale,
            letter,
        }
    };
    Ok(letters.into_iter().map(row).collect())
}
