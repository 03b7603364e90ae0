//! `POST /inbound/ses`: what Amazon SES tells of letters, through Amazon SNS
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).
//!
//! ```text
//! body ─▶ a topic of ours? ─▶ certificate, from Amazon alone ─▶ signature ─▶ subscription: confirmed
//!              401                        401, 503                 401     └▶ notification: a report
//! ```
//!
//! Only topics that the settings name are listened to, for anybody can have Amazon sign messages of his own. `sns` is the envelope and
//! its signature, `amazon` what is fetched, `notification` what SES says.

mod amazon;
mod notification;
mod sns;

use std::str::FromStr;

use axum::Json;
use axum::extract::{Request, State};

use super::{Inbound, Said};
use crate::api::Refusal;
use crate::flow::email::report::Door;
use crate::http::body::{self, Limits};

pub use amazon::{Amazon, NoClient};

use amazon::{AmazonUrl, AskError};
use sns::{Envelope, Kind};

/// SNS sends 256 KB at most; as JSON within JSON that is twice as long where every character is escaped.
const MOST_BYTES: usize = 1024 * 1024;

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

/// The name of a topic, `arn:aws:sns:eu-west-1:123456789012:letters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicArn(String);

/// Not the name of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the ARN of an SNS topic")]
pub struct NotATopic;

impl FromStr for TopicArn {
    type Err = NotATopic;

    fn from_str(given: &str) -> Result<Self, NotATopic> {
        let parts: Vec<&str> = given.split(':').collect();
        let [arn, partition, service, region, account, name] = parts[..] else { return Err(NotATopic) };
        let is_whole = [partition, region, account, name].iter().all(|part| !part.is_empty());
        if arn == "arn" && service == "sns" && is_whole { Ok(Self(given.to_owned())) } else { Err(NotATopic) }
    }
}

/// Takes one message of SNS'.
#[tracing::instrument(name = "report.receive_ses", skip_all)]
pub(super) async fn receive(
    State((inbound, ses)): State<(Inbound, Ses)>,
    request: Request,
) -> Result<Json<Said>, Refusal> {
    let (head, body) = request.into_parts();
    let limits = Limits { max_bytes: MOST_BYTES, timeout: inbound.api.read_timeout };
    let body = body::read(&head.headers, body, limits).await?;
    let refuse = |why: &dyn std::fmt::Display| inbound.refuse(Door::Ses, Refusal::BadSignature, why);
    // What serde says of a body repeats parts of it.
    let envelope: Envelope =
        serde_json::from_slice(&body).map_err(|_| refuse(&"not a message as SNS sends it"))?;
    if !ses.topics.iter().any(|topic| topic.0 == envelope.topic_arn) {
        return Err(refuse(&"not from a topic in inbound.sns_topics"));
    }
    prove(&envelope, &ses.amazon).await.map_err(|error| inbound.not_proven(&error))?;
    match envelope.kind {
        Kind::Notification => match notification::read(&envelope.message, &envelope.message_id) {
            Some(report) => inbound.take(&report).await,
            None => {
                Ok(inbound.pass_over(Door::Ses, "a notification that is not about a bounce or a complaint"))
            }
        },
        Kind::SubscriptionConfirmation => {
            confirm(&envelope, &ses.amazon).await.map_err(|error| inbound.not_proven(&error))?;
            tracing::info!(topic = envelope.topic_arn, "subscribed to what SES tells of letters");
            inbound.counts.count(Door::Ses, "subscribed");
            Ok(Json(Said::only("subscribed")))
        }
        Kind::UnsubscribeConfirmation => {
            tracing::warn!(topic = envelope.topic_arn, "SNS will not tell of letters any more: unsubscribed");
            Ok(inbound.pass_over(Door::Ses, "an end of the subscription"))
        }
    }
}

/// Proves that a message is Amazon's.
async fn prove(envelope: &Envelope, amazon: &Amazon) -> Result<(), AskError> {
    let url = AmazonUrl::parse(&envelope.signing_cert_url)
        .ok_or(AskError::Useless("the certificate is not at Amazon SNS"))?;
    let certificate = amazon.certificate(&url).await?;
    if envelope.is_signed_with(&certificate) {
        Ok(())
    } else {
        Err(AskError::Useless("the signature is not the certificate's"))
    }
}

/// Tells Amazon that its messages are wanted.
async fn confirm(envelope: &Envelope, amazon: &Amazon) -> Result<(), AskError> {
    let url = envelope.subscribe_url.as_deref().and_then(AmazonUrl::parse);
    amazon.visit(&url.ok_or(AskError::Useless("the address to confirm at is not Amazon SNS'"))?).await
}

impl Inbound {
    fn not_proven(&self, error: &AskError) -> Refusal {
        let refusal = match error {
            AskError::Useless(_) => Refusal::BadSignature,
            AskError::Away(_) => Refusal::Unavailable,
        };
        self.refuse(Door::Ses, refusal, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_whole_name() {
        assert!("arn:aws:sns:eu-west-1:123456789012:letters".parse::<TopicArn>().is_ok());
        assert!("arn:aws-cn:sns:cn-north-1:123456789012:letters".parse::<TopicArn>().is_ok());
        for bad in [
            "",
            "letters",
            "arn:aws:sqs:eu-west-1:123456789012:letters",
            "arn:aws:sns:eu-west-1:123456789012:",
            "arn:aws:sns:eu-west-1:123456789012:letters:4f2a",
        ] {
            assert_eq!(bad.parse::<TopicArn>(), Err(NotATopic), "{bad}");
        }
    }
}
