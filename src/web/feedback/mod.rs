//! Where mail servers and mail senders tell what became of letters.
//!
//! | address | who calls it | how that is proven |
//! |---|---|---|
//! | `POST /inbound/bounces` | a mail server, with a report as a message | a key with `bounces:write` |
//! | `POST /inbound/ses` | Amazon SNS, which is told by SES | its signature, and a topic that the settings name |
//! | `POST /inbound/sendgrid` | SendGrid | its signature, by the key in the settings |
//! | `POST /inbound/postmark` | Postmark | a key with `bounces:write` |
//!
//! Each says it in its own way; all of it becomes a [`Report`] and goes through one channel ([`feedback::apply`]). FeedbackEvent is proven and about
//! no letter of ours, or not understood, is answered with 200 all the same, so that nobody sends it for ever, and counted ([`Counts`]).
//! 503 says that it is to be sent again.

mod counts;
mod mailbox;
mod postmark;
mod sendgrid;
pub mod ses;

use std::future::ready;

use axum::middleware::from_fn_with_state;
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;

use super::api::{Api, Guard, Refusal, Scope, authenticate};
use crate::database::is_about_the_data;
use crate::feedback::{self, Applied, ApplyError, Channel, Report};
use crate::mail::Address;
use crate::telemetry::chain;

use crate::telemetry::LogLimit;

pub use counts::Counts;
pub use sendgrid::VerificationKey;

static REFUSED: LogLimit = LogLimit::new();

/// FeedbackEvent taking reports needs.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Where letters are, and who may report.
    pub api: Api,
    /// Who gets the blind copy of each letter: what is told of it changes nothing.
    pub copy: Option<Address>,
    /// Counts what comes in.
    pub counts: Counts,
    /// FeedbackEvent SES tells; none: it is not listened to.
    pub ses: Option<ses::Ses>,
    /// Proves what SendGrid tells; none: it is not listened to.
    pub sendgrid: Option<VerificationKey>,
}

/// Which senders' webhooks are listened to.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Topics of Amazon SNS by which SES tells; none: not SES.
    pub sns_topics: Vec<ses::TopicArn>,
    /// Proves what SendGrid tells; none: not SendGrid.
    pub sendgrid_public_key: Option<VerificationKey>,
}

/// FeedbackEvent the sender of a report hears.
#[derive(Clone, Debug, Serialize)]
struct Said {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    letter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_id: Option<String>,
}

impl Said {
    fn only(outcome: &'static str) -> Self {
        Self { outcome, letter_id: None, offer_id: None }
    }
}

impl From<Applied> for Said {
    fn from(taken: Applied) -> Self {
        let Applied { outcome, letter_id, offer_id } = taken;
        Self { outcome: outcome.as_str(), letter_id, offer_id }
    }
}

/// The addresses below `/inbound`.
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
    /// Listens to whom the settings say.
    pub fn new(
        api: Api,
        copy: Option<Address>,
        counts: Counts,
        settings: &Settings,
    ) -> Result<Self, ses::NoClient> {
        let (ses, sendgrid) =
            (ses::Ses::new(&settings.sns_topics)?, settings.sendgrid_public_key.clone());
        Ok(Self { api, copy, counts, ses, sendgrid })
    }

    /// Takes a report in. One that the database refuses for what it says is passed over: it would be refused each time it comes.
    async fn take(&self, report: &Report) -> Result<Json<Said>, Refusal> {
        let taken =
            feedback::apply(&self.api.db, report, self.copy.as_ref(), self.api.clock.now()).await;
        match taken {
            Ok(taken) => {
                self.counts.count(report.channel, taken.outcome.as_str());
                Ok(Json(taken.into()))
            }
            Err(ApplyError::Database(error)) if is_about_the_data(&error) => {
                tracing::error!(
                    error = chain(&error),
                    report.channel = report.channel.as_str(),
                    "the database refused what a report says"
                );
                Ok(self.pass_over(report.channel, "a report that the database refused"))
            }
            Err(error) => {
                self.counts.count(report.channel, "not_taken");
                match &error {
                    ApplyError::Database(error) => {
                        self.api.database_health.report(error, "cannot take a report");
                    }
                    ApplyError::BeingSent => {
                        tracing::info!("a report came before its letter was booked as sent");
                    }
                }
                Err(Refusal::Unavailable)
            }
        }
    }

    /// FeedbackEvent is proven, and nothing that we act on.
    fn pass_over(&self, channel: Channel, what: &str) -> Json<Said> {
        self.counts.count(channel, "ignored");
        tracing::info!(report.channel = channel.as_str(), "passed over {what}");
        Json(Said::only("ignored"))
    }

    /// FeedbackEvent is no report, or none that was asked for.
    fn refuse(&self, channel: Channel, refusal: Refusal, why: &dyn std::fmt::Display) -> Refusal {
        self.counts.count(channel, refusal.code());
        REFUSED.write(refusal.code(), |suppressed| {
            tracing::warn!(log.suppressed = suppressed, code = refusal.code(), report.channel = channel.as_str(), why = %why,
                "refused a report");
        });
        refusal
    }
}
