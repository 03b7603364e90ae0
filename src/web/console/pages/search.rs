//! Search by anything that names one thing; one hit opens at once.

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::ConsolePage;
use crate::database::with_timeout;
use crate::operators::search::{Hit, HitKind, search};
use crate::web::console::ConsoleState;
use crate::web::console::access::Visitor;
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template};

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
    hits: Vec<HitView>,
}

#[derive(Serialize)]
struct HitView {
    page: String,
    #[serde(flatten)]
    hit: Hit,
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
    let hits = with_timeout(search(&state.console.db, wanted)).await?;
    let mut hits: Vec<HitView> =
        hits.into_iter().map(|hit| HitView { page: page_of(&hit), hit }).collect();
    if let [only] = &mut hits[..]
        && only.page.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(Redirect::to(&std::mem::take(&mut only.page)).into_response());
    }
    let head = PageHead {
        template: "search.html",
        title: "Search",
        command: "capital-courier search ANYTHING",
    };
    state.page(&visitor, &head, SearchView { wanted, hits })
}

/// The page that shows a hit: its own, or that of the offer or the account that it belongs to.
fn page_of(hit: &Hit) -> String {
    match hit.kind {
        HitKind::Offer => format!("/console/offers/{}", hit.id),
        HitKind::Account => format!("/console/accounts/{}", hit.id),
        HitKind::Letter => format!("/console/emails/{}", hit.id),
        HitKind::Event => format!("/console/events/{}", hit.id),
        HitKind::Address => "/console/addresses".to_owned(),
        HitKind::Job | HitKind::Transaction => match (&hit.offer_id, &hit.account_id) {
            (Some(offer_id), _) => format!("/console/offers/{offer_id}"),
            (None, Some(account_id)) => format!("/console/accounts/{account_id}"),
            (None, None) => "/console/jobs".to_owned(),
        },
    }
}
