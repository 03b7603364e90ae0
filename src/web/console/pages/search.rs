//! Search: one hit opens at once.

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::ConsolePage;
use crate::database::with_timeout;
use crate::flow::inbox;
use crate::web::console::ConsoleState;
use crate::web::console::access::Visitor;
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template};
use crate::{letters, offers};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/search",
    label: None,
    templates: &[console_template!("search.html")],
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct SearchQuery {
    q: String,
}

#[derive(Serialize)]
struct SearchView<'a> {
    wanted: &'a str,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route(PAGE.path, get(show))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    Query(query): Query<SearchQuery>,
) -> Result<Response, Problem> {
    let wanted = query.q.trim();
    if let Some(page) = with_timeout(find(&state, wanted)).await? {
        return Ok(Redirect::to(&page).into_response());
    }
    let head = PageHead { template: "search.html", title: "Search", command: "" };
    state.page(&visitor, &head, SearchView { wanted })
}

/// The page of what has this id.
async fn find(state: &ConsoleState, wanted: &str) -> sqlx::Result<Option<String>> {
    let db = &state.console.db;
    let is_id = wanted.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let Some((prefix, _)) = wanted.split_once('_').filter(|_| is_id) else { return Ok(None) };
    Ok(match prefix {
        "financingoffer" => {
            let offer = offers::store::find(db, wanted).await?;
            offer.map(|offer| format!("/console/offers/{}", offer.offer_id))
        }
        "letter" => {
            let letter = letters::store::find(db, wanted).await?;
            letter.map(|letter| format!("/console/offers/{}", letter.offer_id))
        }
        "evt" => {
            let event = inbox::store::find(db, wanted).await?;
            event.map(|(event, _)| format!("/console/events/{}", event.event_id))
        }
        "acct" => {
            let is_known = offers::store::knows_account(db, wanted).await?
                || inbox::store::knows_account(db, wanted).await?;
            is_known.then(|| format!("/console/accounts/{wanted}"))
        }
        _ => None,
    })
}
