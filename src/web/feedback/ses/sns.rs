//! The envelope of an Amazon SNS message, and its signature: RSA with PKCS #1 and SHA-256 over some
//! of the fields (signature version 2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::certificate::Certificate;

/// SHA-256; version 1 is SHA-1, which is rejected.
pub(super) const SIGNATURE_VERSION: &str = "2";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Envelope {
    #[serde(rename = "Type")]
    pub(super) kind: MessageType,
    pub(super) message_id: String,
    pub(super) topic_arn: String,
    pub(super) message: String,
    subject: Option<String>,
    timestamp: String,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    pub(super) subscribe_url: Option<String>,
    pub(super) signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    pub(super) signing_cert_url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::IntoStaticStr)]
pub(super) enum MessageType {
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
}

impl Envelope {
    /// Whether the certificate's key made the signature. The caller checks [`SIGNATURE_VERSION`],
    /// which is not among the signed fields.
    pub(super) fn is_signed_with(&self, certificate: &Certificate) -> bool {
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        certificate.verifies(self.signed_text().as_bytes(), &signature)
    }

    /// The signed text: the name and the value of each present field, one per line, ordered by
    /// name.
    fn signed_text(&self) -> String {
        // Only notifications sign the subject, and only (un)subscriptions the URL and the token.
        let is_notification = self.kind == MessageType::Notification;
        let fields = [
            ("Message", Some(self.message.as_str())),
            ("MessageId", Some(&self.message_id)),
            ("Subject", self.subject.as_deref().filter(|_| is_notification)),
            ("SubscribeURL", self.subscribe_url.as_deref().filter(|_| !is_notification)),
            ("Timestamp", Some(&self.timestamp)),
            ("Token", self.token.as_deref().filter(|_| !is_notification)),
            ("TopicArn", Some(&self.topic_arn)),
            ("Type", Some(self.kind.into())),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}\n{}\n", value?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// See `tests/data/sns/README.md`.
    const CERTIFICATE: &[u8] =
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sns/certificate.pem"));
    const SIGNED: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sns/signed.json"));

    fn messages(version: &str) -> Vec<Value> {
        let mut all: Vec<Value> = serde_json::from_str(SIGNED).unwrap();
        all.retain(|message| message["SignatureVersion"] == version);
        assert_eq!(all.len(), 4, "with and without a subject, two confirmations");
        all
    }

    fn is_verified(message: &Value) -> bool {
        let envelope = serde_json::from_value::<Envelope>(message.clone());
        envelope
            .is_ok_and(|envelope| envelope.is_signed_with(&Certificate::read(CERTIFICATE).unwrap()))
    }

    #[test]
    fn every_type_of_message_is_verified() {
        for message in messages(SIGNATURE_VERSION) {
            assert!(is_verified(&message), "{message}");
        }
    }

    #[test]
    fn a_sha_1_signature_is_rejected() {
        for message in messages("1") {
            assert!(!is_verified(&message), "{message}");
        }
    }

    #[test]
    fn a_changed_field_invalidates_the_signature() {
        for message in &messages(SIGNATURE_VERSION) {
            for field in [
                "Message",
                "MessageId",
                "Subject",
                "Timestamp",
                "TopicArn",
                "Token",
                "SubscribeURL",
            ] {
                let mut changed = message.clone();
                let Some(value) = changed[field].as_str().map(|value| format!("{value} ")) else {
                    continue;
                };
                changed[field] = value.into();
                assert!(!is_verified(&changed), "{field} of {message}");
            }
            for (field, value) in [("Signature", ""), ("Signature", "!"), ("Type", "Something")] {
                let mut changed = message.clone();
                changed[field] = json!(value);
                assert!(!is_verified(&changed), "{field} {value} of {message}");
            }
        }
    }
}
