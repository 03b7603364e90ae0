//! `POST /inbound/bounces`: a report as the message that it is, `message/rfc822`. What `capital-courier bounce` takes from a pipe.

use axum::Json;
use axum::extract::{Request, State};

use super::{Inbound, Said};
use crate::api::Refusal;
use crate::flow::email::report::{Door, Report};
use crate::http::body::{self, Limits};

/// Reports carry the letter that they are about, some 50 KB; anything near this is no report.
const MOST_BYTES: usize = 10 * 1024 * 1024;

/// Takes one report.
#[tracing::instrument(name = "report.receive", skip_all)]
pub(super) async fn receive(State(inbound): State<Inbound>, request: Request) -> Result<Json<Said>, Refusal> {
    let (head, body) = request.into_parts();
    let limits = Limits { max_bytes: MOST_BYTES, timeout: inbound.api.read_timeout };
    let message = body::read(&head.headers, body, limits).await?;
    let report = Report::parse(&message)
        .map_err(|error| inbound.refuse(Door::Mail, Refusal::UnreadableReport, &error))?;
    inbound.take(&report).await
}
