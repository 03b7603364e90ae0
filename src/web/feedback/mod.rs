//! Webhooks by which mail servers and mail providers report what happened to letters.
//! [`crate::feedback`] applies the reports.
//!
//! | path | caller | authentication |
//! |---|---|---|
//! | `POST /inbound/bounces` | a mail server (`message/rfc822`) | a key with `bounces:write` |
//! | `POST /inbound/ses` | Amazon SNS, on behalf of SES | its signature, and a configured topic |
//! | `POST /inbound/sendgrid` | SendGrid | its signature, by the configured key |
//! | `POST /inbound/postmark` | Postmark | a key with `bounces:write` |
//!
//! Each format is parsed into a [`FeedbackReport`] and applied by [`feedback::apply()`]. Authentic
//! input that concerns no letter of ours, or is not understood, is counted ([`ReportCounts`]) and
//! answered with 200, because the sender would otherwise repeat it forever. 503 asks for a repeat.

mod mailbox;
mod postmark;
mod sendgrid;
pub mod ses;

use std::fmt::Display;
use std::future::ready;

use axum::middleware::from_fn_with_state;
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;

use super::api::{Api, Guard, Refusal, Scope, authenticate};
use crate::database::is_about_the_data;
use crate::feedback::{self, AppliedReport, ApplyError, Channel, FeedbackOutcome, FeedbackReport};
use crate::mail::Address;
use crate::telemetry::metrics::{Counters, Registry};
use crate::telemetry::{LogLimit, chain};

pub use sendgrid::VerificationKey;

static REFUSED: LogLimit = LogLimit::new();

/// The state of all feedback endpoints.
#[derive(Clone, Debug)]
pub struct Inbound {
    pub api: Api,
    /// Address of the blind copy of each letter; reports about it have no effect.
    pub bcc: Option<Address>,
    pub counts: ReportCounts,
    /// `None` disables the endpoint.
    pub ses: Option<ses::Ses>,
    /// `None` disables the endpoint.
    pub sendgrid: Option<VerificationKey>,
}

/// The settings of the providers' webhooks.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Accepted topics of Amazon SNS. Empty disables the endpoint.
    pub sns_topics: Vec<ses::TopicArn>,
    /// Verifies SendGrid's signatures. `None` disables the endpoint.
    pub sendgrid_public_key: Option<VerificationKey>,
}

/// Reports since the process started, by channel and outcome. Clones share the counters.
#[derive(Clone, Debug)]
pub struct ReportCounts(Counters<2>);

impl Default for ReportCounts {
    fn default() -> Self {
        let watched = [FeedbackOutcome::Bounced, FeedbackOutcome::OptedOut];
        let all =
            Channel::ALL.map(|channel| watched.map(|outcome| [channel.as_str(), outcome.as_str()]));
        Self(Counters::new(["channel", "outcome"]).with(all.into_iter().flatten()))
    }
}

impl ReportCounts {
    pub fn register(&self, registry: &mut Registry) {
        self.0.register(
            registry,
            "reports",
            "Feedback reports about emails, by channel and outcome",
        );
    }
}

/// The response to the sender of a report.
#[derive(Clone, Debug, Serialize)]
struct ReportResponse {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    letter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_id: Option<String>,
}

impl ReportResponse {
    fn only(outcome: &'static str) -> Self {
        Self { outcome, letter_id: None, offer_id: None }
    }
}

impl From<AppliedReport> for ReportResponse {
    fn from(applied: AppliedReport) -> Self {
        let AppliedReport { outcome, letter_id, offer_id } = applied;
        Self { outcome: outcome.as_str(), letter_id, offer_id }
    }
}

/// The routes below `/inbound`.
pub fn router(inbound: Inbound) -> Router {
    let by_key =
        from_fn_with_state(Guard::new(inbound.api.clone(), Scope::BouncesWrite), authenticate);
    let mut router = Router::new()
        .route("/inbound/bounces", post(mailbox::receive).route_layer(by_key.clone()))
        .route("/inbound/postmark", post(postmark::receive).route_layer(by_key));
    if let Some(ses) = inbound.ses.clone() {
        let state = (inbound.clone(), ses);
        router = router.route("/inbound/ses", post(ses::receive).with_state(state));
    }
    if let Some(key) = inbound.sendgrid.clone() {
        let state = (inbound.clone(), key);
        router = router.route("/inbound/sendgrid", post(sendgrid::receive).with_state(state));
    }
    router.method_not_allowed_fallback(|| ready(Refusal::MethodNotAllowed)).with_state(inbound)
}

impl Inbound {
    /// Enables the endpoints that the settings configure.
    pub fn new(
        api: Api,
        bcc: Option<Address>,
        counts: ReportCounts,
        settings: &Settings,
    ) -> Result<Self, ses::HttpClientError> {
        let ses = ses::Ses::new(&settings.sns_topics)?;
        Ok(Self { api, bcc, counts, ses, sendgrid: settings.sendgrid_public_key.clone() })
    }

    fn count(&self, channel: Channel, outcome: &'static str) {
        self.counts.0.increment([channel.as_str(), outcome]);
    }

    /// Applies a report. A report whose data the database rejects is ignored, because it would be
    /// rejected again each time.
    async fn apply(&self, report: &FeedbackReport) -> Result<Json<ReportResponse>, Refusal> {
        let applied =
            feedback::apply(&self.api.db, report, self.bcc.as_ref(), self.api.clock.now()).await;
        match applied {
            Ok(applied) => {
                self.count(report.channel, applied.outcome.as_str());
                Ok(Json(applied.into()))
            }
            Err(ApplyError::Database(error)) if is_about_the_data(&error) => {
                tracing::error!(
                    error = chain(&error),
                    report.channel = report.channel.as_str(),
                    "the database rejected the data of a feedback report"
                );
                Ok(self.ignore(report.channel, "a report with data that the database rejected"))
            }
            Err(error) => {
                self.count(report.channel, "not_taken");
                match &error {
                    ApplyError::Database(error) => {
                        self.api.db.health().report(error, "cannot apply a feedback report");
                    }
                    ApplyError::StillSending => tracing::info!(
                        "a feedback report arrived before its letter was recorded as sent"
                    ),
                }
                Err(Refusal::Unavailable)
            }
        }
    }

    /// Acknowledges authentic input that has no effect.
    fn ignore(&self, channel: Channel, what: &str) -> Json<ReportResponse> {
        self.count(channel, "ignored");
        tracing::info!(report.channel = channel.as_str(), "ignored {what}");
        Json(ReportResponse::only("ignored"))
    }

    /// Counts and logs a rejected request.
    fn refuse(&self, channel: Channel, refusal: Refusal, error: &dyn Display) -> Refusal {
        self.count(channel, refusal.code());
        REFUSED.write(refusal.code(), |suppressed| {
            tracing::warn!(
                log.suppressed = suppressed,
                code = refusal.code(),
                report.channel = channel.as_str(),
                error = %error,
                "refused a report"
            );
        });
        refusal
    }
}
