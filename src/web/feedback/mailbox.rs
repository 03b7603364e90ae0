//! `POST /inbound/bounces`: a report as the message that it is, `message/rfc822`. FeedbackEvent `capital-courier bounce` takes from a pipe.

use axum::Json;
use axum::extract::{Request, State};
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Inbound, Said};
use crate::feedback::{Channel, MAX_BYTES, NoReport, Report};
use crate::http::body::{self, Limits};
use crate::web::api::Refusal;

/// Reports that are parsed at once: one takes milliseconds, and a few times its size in memory.
static PARSING: Semaphore = Semaphore::const_new(4);

/// Takes one report.
#[tracing::instrument(name = "report.receive", skip_all)]
pub(super) async fn receive(
    State(inbound): State<Inbound>,
    request: Request,
) -> Result<Json<Said>, Refusal> {
    let (head, body) = request.into_parts();
    let limits = Limits { max_bytes: MAX_BYTES, timeout: inbound.api.read_timeout };
    let message = body::read(&head.headers, body, limits).await?;
    let refuse =
        |why: &dyn std::fmt::Display| inbound.refuse(Channel::Mail, Refusal::UnreadableReport, why);
    match parse(message).await {
        Some(Ok(report)) => inbound.take(&report).await,
        Some(Err(error)) => Err(refuse(&error)),
        // The same bytes would fail again: their sender must not repeat them for days.
        None => Err(refuse(&"the parser of reports failed on it")),
    }
}

/// The report in a message, parsed on a thread that serves no requests; none where the parser failed on it.
async fn parse(message: Bytes) -> Option<Result<Report, NoReport>> {
    let permit = PARSING.acquire().await.ok()?;
    let parsing = tokio::task::spawn_blocking(move || {
        let report = Report::parse(&message);
        drop(permit);
        report
    });
    parsing.await.ok()
}
