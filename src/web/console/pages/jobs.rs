//! Jobs that are open, by kind and state; a dead one can be retried.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{ConsolePage, PAGE_ROWS, PageLinks};
use crate::database::{Cursor, with_timeout};
use crate::operators::acts;
use crate::queue::browse::{self, JobCount, JobPage, MAX_COUNT, OpenState};
use crate::queue::stats::JobRow;
use crate::web::console::ConsoleState;
use crate::web::console::access::{Act, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, done};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/jobs",
    label: Some("Jobs"),
    templates: &[console_template!("jobs.html")],
};

#[derive(Deserialize)]
#[serde(default)]
struct JobQuery {
    state: String,
    kind: String,
    after: String,
}

impl Default for JobQuery {
    fn default() -> Self {
        Self {
            state: OpenState::Dead.as_str().to_owned(),
            kind: String::new(),
            after: String::new(),
        }
    }
}

#[derive(Serialize)]
struct JobsView<'a> {
    counts: Vec<JobCount>,
    max_count: i64,
    states: [&'static str; 3],
    state: &'static str,
    kind: &'a str,
    jobs: Vec<JobRow>,
    links: PageLinks,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route(PAGE.path, get(show)).route("/console/jobs/{id}/retry", post(retry))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    Query(query): Query<JobQuery>,
) -> Result<Response, Problem> {
    let chosen: OpenState = query.state.parse().unwrap_or(OpenState::Dead);
    let page = JobPage {
        state: chosen,
        kind: Some(&*query.kind).filter(|kind| !kind.is_empty()),
        after: query.after.parse().unwrap_or(browse::START),
        limit: PAGE_ROWS + 1,
    };
    let db = &state.console.db;
    let counts = with_timeout(browse::counts(db)).await?;
    let mut kinds: Vec<String> = counts.iter().map(|count| count.kind.clone()).collect();
    kinds.dedup();
    let mut jobs = with_timeout(browse::page(db, &page, &kinds)).await?;
    let cursor = |job: &JobRow| Cursor { created_at: job.due_at, id: job.job_id }.to_string();
    let links = PageLinks::cut(&visitor, &mut jobs, cursor);
    let head = PageHead {
        template: "jobs.html",
        title: "Jobs",
        command: &format!("capital-courier job list --state {}", chosen.as_str()),
    };
    let view = JobsView {
        counts,
        max_count: MAX_COUNT,
        states: OpenState::ALL.map(OpenState::as_str),
        state: chosen.as_str(),
        kind: &query.kind,
        jobs,
        links,
    };
    state.page(&visitor, &head, view)
}

async fn retry(
    State(state): State<ConsoleState>,
    Path(id): Path<i64>,
    act: Act,
) -> Result<Response, Problem> {
    acts::retry_job(&state.console.db, &act.instruction(), id).await?;
    Ok(done(&act.visitor, PAGE.path, &format!("Job {id} is queued again")))
}
