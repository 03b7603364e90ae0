//! `POST /inbound/bounces`: a report as a `message/rfc822` body. `capital-courier bounce` reads the
//! same from stdin.

use std::fmt::Display;

use axum::Json;
use axum::extract::{Request, State};
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Inbound, ReportResponse};
use crate::feedback::{Channel, FeedbackReport, MAX_BYTES, ParseReportError};
use crate::web::api::Refusal;

/// Reports parsed concurrently: each takes milliseconds and a few times its size in memory.
static PARSING: Semaphore = Semaphore::const_new(4);

#[tracing::instrument(name = "report.receive", skip_all)]
pub(super) async fn receive(
    State(inbound): State<Inbound>,
    request: Request,
) -> Result<Json<ReportResponse>, Refusal> {
    let message = inbound.api.read_body(request, MAX_BYTES).await?;
    let refuse = |why: &dyn Display| inbound.refuse(Channel::Mail, Refusal::UnreadableReport, why);
    match parse(message).await {
        Some(Ok(report)) => inbound.apply(&report).await,
        Some(Err(error)) => Err(refuse(&error)),
        // A panic would recur for the same bytes, so the sender must not repeat them for days.
        None => Err(refuse(&"the parser failed")),
    }
}

/// Parses on a thread that serves no requests. `None` if the parser panicked.
async fn parse(message: Bytes) -> Option<Result<FeedbackReport, ParseReportError>> {
    let permit = PARSING.acquire().await.ok()?;
    let parsing = tokio::task::spawn_blocking(move || {
        let report = FeedbackReport::parse(&message);
        drop(permit);
        report
    });
    parsing.await.ok()
}
