//! `POST /inbound/ses`: what Amazon SES tells of letters, through Amazon SNS
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).
//!
//! ```text
//! body ─▶ topic of ours, version 2? ─▶ certificate of Amazon ─▶ signature ─▶ subscription: confirmed
//!                   401                      401, 503             401     └▶ notification: a report
//! ```
//!
//! Only topics that the settings name are listened to, for anybody can have Amazon sign messages of his own. `topic` is a topic and
//! what follows from its region, `sns` the envelope and its signature, `certificate` what the signature is proven by, `amazon` what is
//! fetched, `notification` what SES says.

mod amazon;
mod certificate;
mod notification;
mod sns;
mod topic;

use axum::Json;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};

use super::{Inbound, ReportResponse};
use crate::feedback::Channel;
use crate::http::body::{self, BodyLimits};
use crate::web::api::Refusal;

pub use amazon::{Amazon, NoClient};
pub use topic::{NotATopic, TopicArn};

use amazon::AskError;
use sns::{Envelope, Kind, SIGNATURE_VERSION};

/// SNS sends 256 KB at most; as JSON within JSON that is twice as long where every character is escaped.
const MAX_BYTES: usize = 1024 * 1024;

/// Which of SNS' messages are listened to.
#[derive(Clone, Debug)]
pub struct Ses {
    /// Those of these topics.
    pub topics: Vec<TopicArn>,
    /// Where certificates come from.
    pub amazon: Amazon,
}

impl Ses {
    /// Listens to these topics; none where there are none.
    pub fn new(topics: &[TopicArn]) -> Result<Option<Self>, NoClient> {
        if topics.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { topics: topics.to_vec(), amazon: Amazon::new()? }))
    }
}

/// Takes one message of SNS'.
#[tracing::instrument(name = "report.receive_ses", skip_all)]
pub(super) async fn receive(
    State((inbound, ses)): State<(Inbound, Ses)>,
    request: Request,
) -> Result<Json<ReportResponse>, Refusal> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits { max_bytes: MAX_BYTES, timeout: inbound.api.read_timeout };
    let body = body::read(&head.headers, body, limits).await?;
    let refuse =
        |why: &dyn std::fmt::Display| inbound.refuse(Channel::Ses, Refusal::BadSignature, why);
    // serde errors quote the body, so they are not logged.
    let envelope: Envelope =
        serde_json::from_slice(&body).map_err(|_| refuse(&"not a message as SNS sends it"))?;
    let Some(topic) = ses.topics.iter().find(|topic| topic.is(&envelope.topic_arn)) else {
        return Err(refuse(&"not from a topic in inbound.sns_topics"));
    };
    let now = inbound.api.clock.now();
    prove(&envelope, topic, &ses.amazon, now).await.map_err(|error| inbound.not_proven(&error))?;
    match envelope.kind {
        Kind::Notification => match notification::read(&envelope.message, &envelope.message_id) {
            Some(report) => inbound.apply(&report).await,
            None => Ok(inbound
                .ignore(Channel::Ses, "a notification that is not about a bounce or a complaint")),
        },
        Kind::SubscriptionConfirmation => {
            confirm(&envelope, topic, &ses.amazon)
                .await
                .map_err(|error| inbound.not_proven(&error))?;
            tracing::info!(topic = envelope.topic_arn, "subscribed to what SES tells of letters");
            inbound.counts.count(Channel::Ses, "subscribed");
            Ok(Json(ReportResponse::only("subscribed")))
        }
        Kind::UnsubscribeConfirmation => {
            tracing::warn!(
                topic = envelope.topic_arn,
                "SNS will not tell of letters any more: unsubscribed"
            );
            Ok(inbound.ignore(Channel::Ses, "an end of the subscription"))
        }
    }
}

/// Proves that a message is Amazon's.
async fn prove(
    envelope: &Envelope,
    topic: &TopicArn,
    amazon: &Amazon,
    now: DateTime<Utc>,
) -> Result<(), AskError> {
    if envelope.signature_version != SIGNATURE_VERSION {
        return Err(AskError::Useless(
            "signed with SHA-1 (version 1): set the attribute SignatureVersion of the topic to 2",
        ));
    }
    let url = topic
        .certificate_url(&envelope.signing_cert_url)
        .ok_or(AskError::Useless("the certificate is not at Amazon SNS in the topic's region"))?;
    let certificate = amazon.certificate(topic, &url, now).await?;
    if envelope.is_signed_with(&certificate) {
        Ok(())
    } else {
        Err(AskError::Useless("the signature is not the certificate's"))
    }
}

/// Tells Amazon that its messages are wanted.
async fn confirm(envelope: &Envelope, topic: &TopicArn, amazon: &Amazon) -> Result<(), AskError> {
    let url = envelope.subscribe_url.as_deref().and_then(|url| topic.confirmation_url(url));
    amazon
        .visit(&url.ok_or(AskError::Useless("the address to confirm at is not Amazon SNS'"))?)
        .await
}

impl Inbound {
    fn not_proven(&self, error: &AskError) -> Refusal {
        let refusal = match error {
            AskError::Useless(_) => Refusal::BadSignature,
            AskError::Away(_) => Refusal::Unavailable,
        };
        self.refuse(Channel::Ses, refusal, error)
    }
}
