//! The log of acts: what operators did, by every channel.

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::{ConsolePage, PAGE_ROWS, PageLinks};
use crate::database::with_timeout;
use crate::operators::actions::{self, ActionFilter, LoggedAction};
use crate::web::console::ConsoleState;
use crate::web::console::access::Visitor;
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/acts",
    label: Some("Log of acts"),
    templates: &[console_template!("actions.html")],
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct ActionQuery {
    account: String,
    after: String,
}

#[derive(Serialize)]
struct ActionsView<'a> {
    account: &'a str,
    actions: Vec<LoggedAction>,
    links: PageLinks,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route(PAGE.path, get(show))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    Query(query): Query<ActionQuery>,
) -> Result<Response, Problem> {
    let account = query.account.trim();
    let filter = ActionFilter {
        account_id: Some(account).filter(|account| !account.is_empty()),
        before: query.after.parse().ok(),
        limit: PAGE_ROWS + 1,
    };
    let mut actions = with_timeout(actions::list(&state.console.db, &filter)).await?;
    let links = PageLinks::cut(&visitor, &mut actions, |action| action.action_id.to_string());
    let head = PageHead { template: "actions.html", title: "Log of acts", command: "" };
    state.page(&visitor, &head, ActionsView { account, actions, links })
}
