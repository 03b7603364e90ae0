//! What `doctor` checks, as a page. It asks Stripe, the relay and DNS, so it is not read by itself.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::ConsolePage;
use crate::checks::{self, Check};
use crate::web::console::ConsoleState;
use crate::web::console::access::Visitor;
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/checks",
    label: None,
    templates: &[console_template!("checks.html")],
};

#[derive(Serialize)]
struct ChecksView {
    summary: String,
    checks: Vec<Check>,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route(PAGE.path, get(show))
}

async fn show(State(state): State<ConsoleState>, visitor: Visitor) -> Result<Response, Problem> {
    let checks = checks::run_checks(&state.console.checks).await;
    let view = ChecksView { summary: checks::summary(&checks), checks };
    let head =
        PageHead { template: "checks.html", title: "Checks", command: "capital-courier doctor" };
    state.page(&visitor, &head, view)
}
