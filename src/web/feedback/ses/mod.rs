//! `POST /inbound/ses`: bounces and complaints from Amazon SES, delivered by Amazon SNS
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).
//!
//! ```text
//! body ─▶ configured topic? ─▶ signature version 2? ─▶ certificate ─▶ signature ─▶ notification
//!               401                   401               401, 503        401       or confirmation
//! ```
//!
//! Only configured topics are accepted, because anyone can have Amazon sign messages of a topic of
//! their own.
//!
//! | file | owns |
//! |---|---|
//! | `topic` | topics, and the URLs and certificate names that follow from a topic's region |
//! | `sns` | the envelope of a message and its signature |
//! | `certificate` | verification of the signing certificate |
//! | `amazon` | requests to Amazon: certificates, confirmation of a subscription |
//! | `notification` | SES's notifications, parsed into feedback reports |

mod amazon;
mod certificate;
mod notification;
mod sns;
mod topic;

use std::fmt::Display;

use axum::Json;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};

use super::{Inbound, ReportResponse};
use crate::feedback::Channel;
use crate::web::api::Refusal;

pub use amazon::{Amazon, HttpClientError};
pub use topic::{BadTopicArn, TopicArn};

use amazon::FetchError;
use sns::{Envelope, MessageType, SIGNATURE_VERSION};

/// SNS sends 256 KB at most; JSON within JSON is twice as long if every character is escaped.
const MAX_BYTES: usize = 1024 * 1024;

/// The state of the endpoint.
#[derive(Clone, Debug)]
pub struct Ses {
    /// Messages of other topics are rejected.
    pub topics: Vec<TopicArn>,
    pub amazon: Amazon,
}

impl Ses {
    /// `None` if no topic is configured, which disables the endpoint.
    pub fn new(topics: &[TopicArn]) -> Result<Option<Self>, HttpClientError> {
        if topics.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { topics: topics.to_vec(), amazon: Amazon::new()? }))
    }
}

#[tracing::instrument(name = "report.receive_ses", skip_all)]
pub(super) async fn receive(
    State((inbound, ses)): State<(Inbound, Ses)>,
    request: Request,
) -> Result<Json<ReportResponse>, Refusal> {
    let body = inbound.api.read_body(request, MAX_BYTES).await?;
    let refuse = |why: &dyn Display| inbound.refuse(Channel::Ses, Refusal::BadSignature, why);
    // serde errors quote the body, which may contain addresses, so they are not logged.
    let envelope: Envelope =
        serde_json::from_slice(&body).map_err(|_| refuse(&"not a message of SNS"))?;
    let Some(topic) = ses.topics.iter().find(|topic| topic.matches(&envelope.topic_arn)) else {
        return Err(refuse(&"not from a topic in inbound.sns_topics"));
    };
    // Nothing of the message is used before its signature is verified, except the topic, which
    // selects where the certificate may come from.
    let now = inbound.api.clock.now();
    authenticate(&envelope, topic, &ses.amazon, now)
        .await
        .map_err(|error| inbound.refuse_unauthenticated(&error))?;
    match envelope.kind {
        MessageType::Notification => {
            match notification::read(&envelope.message, &envelope.message_id) {
                Some(report) => inbound.apply(&report).await,
                None => Ok(inbound.ignore(
                    Channel::Ses,
                    "a notification that is not about a bounce or a complaint",
                )),
            }
        }
        MessageType::SubscriptionConfirmation => {
            confirm_subscription(&envelope, topic, &ses.amazon)
                .await
                .map_err(|error| inbound.refuse_unauthenticated(&error))?;
            tracing::info!(topic = envelope.topic_arn, "confirmed a subscription of Amazon SNS");
            inbound.count(Channel::Ses, "subscribed");
            Ok(Json(ReportResponse::only("subscribed")))
        }
        MessageType::UnsubscribeConfirmation => {
            tracing::warn!(
                topic = envelope.topic_arn,
                "Amazon SNS unsubscribed this endpoint: SES reports no longer arrive"
            );
            Ok(inbound.ignore(Channel::Ses, "the end of a subscription"))
        }
    }
}

/// Verifies that Amazon signed the message for this topic.
async fn authenticate(
    envelope: &Envelope,
    topic: &TopicArn,
    amazon: &Amazon,
    now: DateTime<Utc>,
) -> Result<(), FetchError> {
    if envelope.signature_version != SIGNATURE_VERSION {
        return Err(FetchError::Invalid(
            "signed with SHA-1 (version 1): set the attribute SignatureVersion of the topic to 2",
        ));
    }
    let url = topic.certificate_url(&envelope.signing_cert_url).ok_or(FetchError::Invalid(
        "the certificate's URL is not of Amazon SNS in the topic's region",
    ))?;
    let certificate = amazon.certificate(topic, &url, now).await?;
    if envelope.is_signed_with(&certificate) {
        Ok(())
    } else {
        Err(FetchError::Invalid("the signature does not match the certificate"))
    }
}

async fn confirm_subscription(
    envelope: &Envelope,
    topic: &TopicArn,
    amazon: &Amazon,
) -> Result<(), FetchError> {
    let url = envelope.subscribe_url.as_deref().and_then(|url| topic.confirmation_url(url));
    let url = url.ok_or(FetchError::Invalid("the confirmation URL is not of Amazon SNS"))?;
    amazon.confirm(&url).await
}

impl Inbound {
    fn refuse_unauthenticated(&self, error: &FetchError) -> Refusal {
        let refusal = match error {
            FetchError::Invalid(_) | FetchError::Untrusted(_) => Refusal::BadSignature,
            FetchError::Unavailable(_) => Refusal::Unavailable,
        };
        self.refuse(Channel::Ses, refusal, error)
    }
}
