//! `POST /inbound/sendgrid`: Twilio SendGrid's signed event webhook
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>).
//!
//! The signature (ECDSA, P-256, SHA-256) covers the timestamp header followed by the body. A
//! request contains many events. Each is applied in its own transaction, so that a repeated request
//! skips those already applied. An event identifies its letter by the argument that every letter
//! carries (`X-SMTPAPI`), or else by `smtp-id`, our Message-ID, which not every event has.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Inbound;
use crate::feedback::{Cause, Channel, FeedbackEvent, FeedbackReport, LetterRef, RecipientReport};
use crate::web::api::Refusal;

/// A thousand events have about 500 KB.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// SendGrid retries for a day, and does not document that it signs each try again. Repeated events
/// change nothing, so accepting an old signature does no harm.
const MAX_AGE: TimeDelta = TimeDelta::hours(25);
const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// The verification key as SendGrid displays it: base64 of a P-256 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationKey([u8; 65]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the verification key of SendGrid's signed event webhook (MFkwEwYHKoZIzj0…)")]
pub struct VerificationKeyError;

/// The fixed prefix of every P-256 public key in DER (RFC 5480 section 2), so that no DER parser is
/// needed.
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl FromStr for VerificationKey {
    type Err = VerificationKeyError;

    fn from_str(given: &str) -> Result<Self, VerificationKeyError> {
        let der = STANDARD.decode(given).map_err(|_| VerificationKeyError)?;
        let point = der.strip_prefix(&SPKI_P256).ok_or(VerificationKeyError)?;
        point.try_into().map(Self).map_err(|_| VerificationKeyError)
    }
}

/// Why a request is not authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum SignatureError {
    #[error("a signature header is missing or malformed")]
    Header,
    #[error("the signature does not match inbound.sendgrid_public_key")]
    Signature,
    #[error("signed too long ago, or in the future")]
    Time,
}

impl VerificationKey {
    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), SignatureError> {
        let (timestamp, signature) = signature(headers)?;
        let signed = [timestamp.as_bytes(), body].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(&signed, &signature)
            .map_err(|_| SignatureError::Signature)?;
        let at = timestamp.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let age = now - at.ok_or(SignatureError::Header)?;
        if age > MAX_AGE || age < -MAX_CLOCK_SKEW { Err(SignatureError::Time) } else { Ok(()) }
    }
}

/// The timestamp and signature headers.
fn signature(headers: &HeaderMap) -> Result<(&str, Vec<u8>), SignatureError> {
    let header = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).ok_or(SignatureError::Header)
    };
    let signature = header("x-twilio-email-event-webhook-signature")?;
    let signature = STANDARD.decode(signature).map_err(|_| SignatureError::Header)?;
    Ok((header("x-twilio-email-event-webhook-timestamp")?, signature))
}

/// Number of events by outcome.
#[derive(Debug, Serialize)]
pub(super) struct BatchResponse {
    outcomes: BTreeMap<&'static str, u64>,
}

#[tracing::instrument(name = "report.receive_sendgrid", skip_all)]
pub(super) async fn receive(
    State((inbound, key)): State<(Inbound, VerificationKey)>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<BatchResponse>, Refusal> {
    let refuse =
        |error: SignatureError| inbound.refuse(Channel::SendGrid, Refusal::BadSignature, &error);
    // An unsigned request is refused before its body takes any memory.
    signature(&headers).map_err(refuse)?;
    let body = inbound.api.read_body(request, MAX_BYTES).await?;
    key.verify(&headers, &body, inbound.api.clock.now()).map_err(refuse)?;
    let Ok(events) = serde_json::from_slice::<Vec<Value>>(&body) else {
        let response = inbound.ignore(Channel::SendGrid, "a request that is not a list of events");
        return Ok(Json(BatchResponse { outcomes: BTreeMap::from([(response.outcome, 1)]) }));
    };
    let mut outcomes = BTreeMap::new();
    let mut refusal = None;
    for event in &events {
        match apply_event(&inbound, event).await {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            // Apply the rest of the batch; when SendGrid repeats it, applied events change nothing.
            Err(error) => refusal = Some(error),
        }
    }
    tracing::info!(events = events.len(), "applied SendGrid events");
    refusal.map_or(Ok(Json(BatchResponse { outcomes })), Err)
}

async fn apply_event(inbound: &Inbound, event: &Value) -> Result<&'static str, Refusal> {
    let Some(report) = read(event) else {
        inbound.count(Channel::SendGrid, "ignored");
        return Ok("ignored");
    };
    Ok(inbound.apply(&report).await?.outcome)
}

/// The fields of an event that we use
/// (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>).
#[derive(Debug, Deserialize)]
struct SendGridEvent {
    #[serde(rename = "event")]
    name: String,
    email: String,
    sg_event_id: Option<String>,
    #[serde(rename = "smtp-id")]
    smtp_id: Option<String>,
    /// Our argument in `X-SMTPAPI`.
    letter_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
    status: Option<String>,
}

/// Parses an event. `None` if it is about something else, or not understood.
fn read(value: &Value) -> Option<FeedbackReport> {
    let event = SendGridEvent::deserialize(value).ok()?;
    let events = event.events();
    if events.is_empty() {
        return None;
    }
    let mut letter_ref = LetterRef::default();
    event.letter_id.iter().for_each(|letter_id| letter_ref.add_letter(letter_id));
    event.smtp_id.iter().for_each(|id| letter_ref.add_message_id(id));
    let id = event.sg_event_id.clone().unwrap_or_else(|| value.to_string());
    let report = |of| RecipientReport { addresses: vec![event.email.clone()], event: of };
    let recipients = events.into_iter().map(report).collect();
    Some(FeedbackReport::new(Channel::SendGrid, id, letter_ref, recipients))
}

impl SendGridEvent {
    fn events(&self) -> Vec<FeedbackEvent> {
        match self.name.as_str() {
            "bounce" => vec![self.bounced()],
            "dropped" => self.dropped(),
            "spamreport" => vec![FeedbackEvent::spam()],
            "unsubscribe" | "group_unsubscribe" => vec![FeedbackEvent::Unsubscribed],
            _ => Vec::new(),
        }
    }

    fn bounced(&self) -> FeedbackEvent {
        match self.kind.as_deref() {
            // SendGrid suppresses such addresses too.
            Some("bounce") | None => self.failed(Cause::Address),
            Some("blocked") => self.failed(Cause::Letter),
            Some(_) => FeedbackEvent::Transient,
        }
    }

    /// SendGrid did not try, because of earlier events at the address.
    fn dropped(&self) -> Vec<FeedbackEvent> {
        match self.reason.as_deref() {
            Some("Bounced Address" | "Invalid") => vec![self.failed(Cause::Address)],
            Some("Unsubscribed Address") => {
                vec![self.failed(Cause::Letter), FeedbackEvent::Unsubscribed]
            }
            Some("Spam Reporting Address") => {
                vec![self.failed(Cause::Letter), FeedbackEvent::spam()]
            }
            Some(_) | None => vec![self.failed(Cause::Letter)],
        }
    }

    fn failed(&self, cause: Cause) -> FeedbackEvent {
        FeedbackEvent::failed(self.status.as_deref(), Some(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Fingerprint;
    use axum::http::HeaderValue;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn key_pair() -> (EcdsaKeyPair, VerificationKey) {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random)
                .unwrap();
        let shown = STANDARD.encode([&SPKI_P256[..], pair.public_key().as_ref()].concat());
        (pair, shown.parse().unwrap())
    }

    fn headers(pair: &EcdsaKeyPair, at: DateTime<Utc>, body: &[u8]) -> HeaderMap {
        let timestamp = at.timestamp().to_string();
        let signature =
            pair.sign(&SystemRandom::new(), &[timestamp.as_bytes(), body].concat()).unwrap();
        let value = |text: String| HeaderValue::from_str(&text).unwrap();
        HeaderMap::from_iter([
            (
                "x-twilio-email-event-webhook-signature".parse().unwrap(),
                value(STANDARD.encode(signature)),
            ),
            ("x-twilio-email-event-webhook-timestamp".parse().unwrap(), value(timestamp)),
        ])
    }

    #[test]
    fn the_signature_must_match_the_key_and_be_recent() {
        let (pair, key) = key_pair();
        let body = br#"[{"event":"bounce"}]"#;
        for age in [TimeDelta::zero(), TimeDelta::hours(24), -TimeDelta::minutes(4)] {
            assert_eq!(
                key.verify(&headers(&pair, now() - age, body), body, now()),
                Ok(()),
                "{age}"
            );
        }
        for age in [TimeDelta::hours(26), -TimeDelta::minutes(6)] {
            let proof = key.verify(&headers(&pair, now() - age, body), body, now());
            assert_eq!(proof, Err(SignatureError::Time), "{age}");
        }
        let good = headers(&pair, now(), body);
        assert_eq!(key.verify(&good, b"[]", now()), Err(SignatureError::Signature));
        assert_eq!(key_pair().1.verify(&good, body, now()), Err(SignatureError::Signature));
        for name in
            ["x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"]
        {
            let mut headers = good.clone();
            headers.remove(name);
            assert_eq!(key.verify(&headers, body, now()), Err(SignatureError::Header), "{name}");
            headers.insert(
                name.parse::<axum::http::HeaderName>().unwrap(),
                HeaderValue::from_static("0"),
            );
            assert!(key.verify(&headers, body, now()).is_err(), "{name}");
        }
    }

    #[test]
    fn only_a_p256_public_key_is_accepted() {
        let shown = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMM\
            sTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA==";
        assert!(shown.parse::<VerificationKey>().is_ok());
        for bad in ["", "SG.abc", "MFkw", &shown[4..], &format!("{shown}{shown}")] {
            assert_eq!(bad.parse::<VerificationKey>(), Err(VerificationKeyError), "{bad}");
        }
    }

    fn events_in(event: &Value) -> Option<Vec<FeedbackEvent>> {
        Some(read(event)?.recipients.into_iter().map(|recipient| recipient.event).collect())
    }

    /// The feedback events in a SendGrid event with these extra fields.
    fn events_of(name: &str, more: &Value) -> Option<Vec<FeedbackEvent>> {
        let mut all = json!({
            "email": "jenny@bakery.example", "timestamp": 1_513_299_569, "event": name,
            "category": ["cat facts"], "smtp-id": "<letter_1@rocket.example>",
            "sg_event_id": "e1", "sg_message_id": "m1"
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        events_in(&all)
    }

    #[test]
    fn the_event_name_and_reason_decide_the_feedback_event() {
        let failed =
            |status: &str, cause| FeedbackEvent::Failed { status: status.to_owned(), cause };
        let (address, letter) = (Cause::Address, Cause::Letter);
        let complaint = || FeedbackEvent::spam();
        for (name, more, expected) in [
            (
                "bounce",
                json!({"type": "bounce", "status": "5.1.1", "reason": "550 unknown"}),
                vec![failed("5.1.1", address)],
            ),
            (
                "bounce",
                json!({"type": "bounce", "status": "5.0.0"}),
                vec![failed("5.0.0", address)],
            ),
            (
                "bounce",
                json!({"type": "blocked", "status": "5.7.1"}),
                vec![failed("5.7.1", letter)],
            ),
            ("bounce", json!({"type": "expired"}), vec![FeedbackEvent::Transient]),
            (
                "dropped",
                json!({"reason": "Bounced Address", "status": "5.0.0"}),
                vec![failed("5.0.0", address)],
            ),
            (
                "dropped",
                json!({"reason": "Unsubscribed Address"}),
                vec![failed("5.0.0", letter), FeedbackEvent::Unsubscribed],
            ),
            (
                "dropped",
                json!({"reason": "Spam Reporting Address"}),
                vec![failed("5.0.0", letter), complaint()],
            ),
            ("dropped", json!({"reason": "Invalid SMTPAPI header"}), vec![failed("5.0.0", letter)]),
            ("spamreport", json!({}), vec![complaint()]),
            ("unsubscribe", json!({}), vec![FeedbackEvent::Unsubscribed]),
            ("group_unsubscribe", json!({"asm_group_id": 10}), vec![FeedbackEvent::Unsubscribed]),
        ] {
            assert_eq!(events_of(name, &more), Some(expected), "{name} {more}");
        }
        for name in [
            "processed",
            "deferred",
            "delivered",
            "open",
            "click",
            "group_resubscribe",
            "something_new",
        ] {
            assert_eq!(events_of(name, &json!({})), None, "{name}");
        }
        assert_eq!(events_in(&json!({"event": 1})), None);
    }

    #[test]
    fn an_event_identifies_the_letter_in_two_ways() {
        let event = json!({
            "email": "jenny@bakery.example", "event": "spamreport", "sg_event_id": "e1",
            "letter_id": "letter_1", "smtp-id": "<letter_1@rocket.example>"
        });
        let mut letter_ref = LetterRef::default();
        letter_ref.add_letter("letter_1");
        letter_ref.add_message_id("letter_1@rocket.example");
        let report = read(&event).unwrap();
        assert_eq!(
            (report.letter_ref, report.fingerprint),
            (letter_ref, Fingerprint::of(Channel::SendGrid, "e1"))
        );
    }
}
