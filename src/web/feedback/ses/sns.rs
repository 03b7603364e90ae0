//! The envelope in which Amazon SNS sends a message, and its signature: RSA with PKCS #1 over some of the fields, by SHA-1 (version 1,
//! which is still the default of a topic) or SHA-256 (version 2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use serde::Deserialize;

use super::certificate::Certificate;

/// A message of SNS'.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Envelope {
    #[serde(rename = "Type")]
    pub(super) kind: Kind,
    pub(super) message_id: String,
    pub(super) topic_arn: String,
    pub(super) message: String,
    subject: Option<String>,
    timestamp: String,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    pub(super) subscribe_url: Option<String>,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    pub(super) signing_cert_url: String,
}

/// FeedbackEvent it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

impl Envelope {
    /// Whether the certificate's key made the signature.
    pub(super) fn is_signed_with(&self, certificate: &Certificate) -> bool {
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        let algorithm: &dyn SignatureVerificationAlgorithm = match self.signature_version.as_str() {
            "1" => &RsaSha1,
            "2" => webpki::ring::RSA_PKCS1_2048_8192_SHA256,
            _ => return false,
        };
        certificate.made(algorithm, self.signed_text().as_bytes(), &signature)
    }

    /// FeedbackEvent was signed: name and value of the fields that there are, a line each, in the order of the names.
    fn signed_text(&self) -> String {
        let subject = self.subject.as_deref().filter(|_| self.kind == Kind::Notification);
        let is_about_subscription = self.kind != Kind::Notification;
        let if_subscription =
            |value: &'_ Option<String>| value.clone().filter(|_| is_about_subscription);
        let fields = [
            ("Message", Some(self.message.clone())),
            ("MessageId", Some(self.message_id.clone())),
            ("Subject", subject.map(str::to_owned)),
            ("SubscribeURL", if_subscription(&self.subscribe_url)),
            ("Timestamp", Some(self.timestamp.clone())),
            ("Token", if_subscription(&self.token)),
            ("TopicArn", Some(self.topic_arn.clone())),
            ("Type", Some(self.kind.as_str().to_owned())),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}\n{}\n", value?)))
            .collect()
    }
}

/// RSA by SHA-1: too weak for certificates, and what SNS signs with unless a topic asks for better.
#[derive(Debug)]
struct RsaSha1;

impl SignatureVerificationAlgorithm for RsaSha1 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, public_key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        // sha1WithRSAEncryption, 1.2.840.113549.1.1.5 (RFC 8017 appendix A.2.4).
        AlgorithmIdentifier::from_slice(&[
            0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00,
        ])
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

    fn is_good(message: &Value) -> bool {
        let envelope = serde_json::from_value::<Envelope>(message.clone());
        envelope
            .is_ok_and(|envelope| envelope.is_signed_with(&Certificate::read(CERTIFICATE).unwrap()))
    }

    #[test]
    fn every_kind_of_message_is_proven_by_both_versions_of_the_signature() {
        let signed: Vec<Value> = serde_json::from_str(SIGNED).unwrap();
        assert_eq!(
            signed.len(),
            8,
            "with and without a subject, two confirmations, by two versions"
        );
        for message in &signed {
            assert!(is_good(message), "{message}");
        }
    }

    #[test]
    fn whatever_was_changed_is_not_proven() {
        let signed: Vec<Value> = serde_json::from_str(SIGNED).unwrap();
        for message in &signed {
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
                assert!(!is_good(&changed), "{field} of {message}");
            }
            for (field, value) in [
                ("SignatureVersion", "3"),
                ("SignatureVersion", if message["SignatureVersion"] == "1" { "2" } else { "1" }),
                ("Signature", ""),
                ("Signature", "!"),
                ("Type", "Something"),
            ] {
                let mut changed = message.clone();
                changed[field] = json!(value);
                assert!(!is_good(&changed), "{field} {value} of {message}");
            }
        }
    }
}
