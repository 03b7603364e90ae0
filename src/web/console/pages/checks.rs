//! What `doctor` checks, as a page. It asks Stripe, the relay and DNS, so it is not read by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Mutex;

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

/// A run takes seconds; its result holds for a while.
const SHARED_FOR: Duration = Duration::from_secs(30);

/// The last run.
#[derive(Clone, Debug, Default)]
pub(in crate::web::console) struct LastChecks(Arc<Mutex<Option<SharedChecks>>>);

#[derive(Debug)]
struct SharedChecks {
    made_at: Instant,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct ChecksView {
    summary: String,
    checks: Vec<Check>,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route(PAGE.path, get(show))
}

async fn show(State(state): State<ConsoleState>, visitor: Visitor) -> Result<Response, Problem> {
    // Visitors wait for the lock and share one run, which asks Stripe, the relay and DNS.
    let mut last = state.checks.0.lock().await;
    let checks = match &*last {
        Some(shared) if shared.made_at.elapsed() < SHARED_FOR => shared.checks.clone(),
        Some(_) | None => {
            let checks = checks::run_checks(&state.console.checks).await;
            let made_at = Instant::now();
            *last = Some(SharedChecks { made_at, checks: checks.clone() });
            checks
        }
    };
    drop(last);
    let view = ChecksView { summary: checks::summary(&checks), checks };
    let head =
        PageHead { template: "checks.html", title: "Checks", command: "capital-courier doctor" };
    state.page(&visitor, &head, view)
}
