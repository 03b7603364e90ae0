//! `POST /inbound/sendgrid`: Twilio SendGrid's signed event webhook
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>).
//!
//! Signed, by ECDSA with P-256 and SHA-256, is the time as it stands in its header followed by the body's bytes. A request brings many
//! events; each is taken by itself, so that what was taken is known when the rest is sent again. Which letter an event is about stands
//! in the argument that every letter carries (`X-SMTPAPI`), or else in `smtp-id`, our Message-ID, which not every event has.

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
use crate::feedback::{Cause, Channel, FeedbackEvent, Finding, Fingerprint, LetterRef, Report};
use crate::http::body::{self, Limits};
use crate::web::api::Refusal;

/// A thousand events are some 500 KB.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// SendGrid tries for a day, and does not say that it signs each try anew. FeedbackEvent comes twice changes nothing, so there is no harm in
/// an old signature.
const OLDEST: TimeDelta = TimeDelta::hours(25);
/// Clocks differ.
const FURTHEST_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// The key that SendGrid shows where the signed webhook is switched on: base64 of a public key on P-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationKey([u8; 65]);

/// Not such a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the verification key of SendGrid's signed event webhook (MFkwEwYHKoZIzj0…)")]
pub struct NotAKey;

/// FeedbackEvent stands before the point in every public key on P-256 (RFC 5480 section 2): there is nothing else to read.
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl FromStr for VerificationKey {
    type Err = NotAKey;

    fn from_str(given: &str) -> Result<Self, NotAKey> {
        let der = STANDARD.decode(given).map_err(|_| NotAKey)?;
        let point = der.strip_prefix(&SPKI_P256).ok_or(NotAKey)?;
        point.try_into().map(Self).map_err(|_| NotAKey)
    }
}

/// Why a request is not proven to be SendGrid's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NotProven {
    #[error("a header of the signature is missing, or makes no sense")]
    Header,
    #[error("the signature is not that of the key in inbound.sendgrid_public_key")]
    Signature,
    #[error("signed too long ago, or in the future")]
    Time,
}

impl VerificationKey {
    fn prove(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<(), NotProven> {
        let (timestamp, signature) = signature(headers)?;
        let signed = [timestamp.as_bytes(), body].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(&signed, &signature)
            .map_err(|_| NotProven::Signature)?;
        let at = timestamp.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let age = now - at.ok_or(NotProven::Header)?;
        if age > OLDEST || age < -FURTHEST_AHEAD { Err(NotProven::Time) } else { Ok(()) }
    }
}

/// The time and the signature, as they stand in the headers.
fn signature(headers: &HeaderMap) -> Result<(&str, Vec<u8>), NotProven> {
    let header = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).ok_or(NotProven::Header)
    };
    let signature = header("x-twilio-email-event-webhook-signature")?;
    let signature = STANDARD.decode(signature).map_err(|_| NotProven::Header)?;
    Ok((header("x-twilio-email-event-webhook-timestamp")?, signature))
}

/// How many events did what.
#[derive(Debug, Serialize)]
pub(super) struct Outcomes {
    outcomes: BTreeMap<&'static str, u64>,
}

/// Takes what one request brings.
#[tracing::instrument(name = "report.receive_sendgrid", skip_all)]
pub(super) async fn receive(
    State((inbound, key)): State<(Inbound, VerificationKey)>,
    request: Request,
) -> Result<Json<Outcomes>, Refusal> {
    let (head, body) = request.into_parts();
    let refuse =
        |error: NotProven| inbound.refuse(Channel::SendGrid, Refusal::BadSignature, &error);
    // Without a signature the body is not read, and takes no memory.
    signature(&head.headers).map_err(refuse)?;
    let limits = Limits { max_bytes: MAX_BYTES, timeout: inbound.api.read_timeout };
    let body = body::read(&head.headers, body, limits).await?;
    key.prove(&head.headers, &body, inbound.api.clock.now()).map_err(refuse)?;
    let Ok(events) = serde_json::from_slice::<Vec<Value>>(&body) else {
        let said = inbound.pass_over(Channel::SendGrid, "what is no list of events");
        return Ok(Json(Outcomes { outcomes: BTreeMap::from([(said.outcome, 1)]) }));
    };
    let mut outcomes = BTreeMap::new();
    let mut refusal = None;
    for event in &events {
        match take_event(&inbound, event).await {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            // The others of this batch are taken all the same; when it comes again, they change nothing.
            Err(error) => refusal = Some(error),
        }
    }
    tracing::info!(events = events.len(), "took what SendGrid tells");
    refusal.map_or(Ok(Json(Outcomes { outcomes })), Err)
}

async fn take_event(inbound: &Inbound, event: &Value) -> Result<&'static str, Refusal> {
    let Some(report) = read(event) else {
        inbound.counts.count(Channel::SendGrid, "ignored");
        return Ok("ignored");
    };
    Ok(inbound.take(&report).await?.outcome)
}

/// An event, as far as we read it (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>).
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "event")]
    name: String,
    email: String,
    sg_event_id: Option<String>,
    #[serde(rename = "smtp-id")]
    smtp_id: Option<String>,
    /// Our own, from `X-SMTPAPI`.
    letter_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
    status: Option<String>,
}

/// The report in an event; none where it is about something else, or nothing that we know.
fn read(value: &Value) -> Option<Report> {
    let event = Event::deserialize(value).ok()?;
    let whats = event.whats();
    if whats.is_empty() {
        return None;
    }
    let mut letter_ref = LetterRef::default();
    event.letter_id.iter().for_each(|letter_id| letter_ref.add_letter(letter_id));
    event.smtp_id.iter().for_each(|id| letter_ref.add_message_id(id));
    let id = event.sg_event_id.clone().unwrap_or_else(|| value.to_string());
    let addresses = vec![event.email.clone()];
    let findings =
        whats.into_iter().map(|what| Finding { addresses: addresses.clone(), what }).collect();
    Some(Report {
        channel: Channel::SendGrid,
        fingerprint: Fingerprint::of(Channel::SendGrid, id),
        letter_ref,
        findings,
    })
}

impl Event {
    fn whats(&self) -> Vec<FeedbackEvent> {
        match self.name.as_str() {
            "bounce" => vec![self.bounced()],
            "dropped" => self.dropped(),
            "spamreport" => vec![FeedbackEvent::told("abuse")],
            "unsubscribe" | "group_unsubscribe" => vec![FeedbackEvent::Unsubscribed],
            _ => Vec::new(),
        }
    }

    fn bounced(&self) -> FeedbackEvent {
        match self.kind.as_deref() {
            // SendGrid sends no other letter to such an address either.
            Some("bounce") | None => self.failed(Cause::Address),
            Some("blocked") => self.failed(Cause::Letter),
            Some(_) => FeedbackEvent::Transient,
        }
    }

    /// Not even tried, because of what happened to others before.
    fn dropped(&self) -> Vec<FeedbackEvent> {
        match self.reason.as_deref() {
            Some("Bounced Address" | "Invalid") => vec![self.failed(Cause::Address)],
            Some("Unsubscribed Address") => {
                vec![self.failed(Cause::Letter), FeedbackEvent::Unsubscribed]
            }
            Some("Spam Reporting Address") => {
                vec![self.failed(Cause::Letter), FeedbackEvent::told("abuse")]
            }
            Some(_) | None => vec![self.failed(Cause::Letter)],
        }
    }

    fn failed(&self, whose: Cause) -> FeedbackEvent {
        FeedbackEvent::failed(self.status.as_deref().unwrap_or_default()).blaming(whose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_request_is_proven_by_its_key_within_its_time() {
        let (pair, key) = key_pair();
        let body = br#"[{"event":"bounce"}]"#;
        for age in [TimeDelta::zero(), TimeDelta::hours(24), -TimeDelta::minutes(4)] {
            assert_eq!(key.prove(&headers(&pair, now() - age, body), body, now()), Ok(()), "{age}");
        }
        for age in [TimeDelta::hours(26), -TimeDelta::minutes(6)] {
            let proof = key.prove(&headers(&pair, now() - age, body), body, now());
            assert_eq!(proof, Err(NotProven::Time), "{age}");
        }
        let good = headers(&pair, now(), body);
        assert_eq!(key.prove(&good, b"[]", now()), Err(NotProven::Signature));
        assert_eq!(key_pair().1.prove(&good, body, now()), Err(NotProven::Signature));
        for name in
            ["x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"]
        {
            let mut headers = good.clone();
            headers.remove(name);
            assert_eq!(key.prove(&headers, body, now()), Err(NotProven::Header), "{name}");
            headers.insert(
                name.parse::<axum::http::HeaderName>().unwrap(),
                HeaderValue::from_static("0"),
            );
            assert!(key.prove(&headers, body, now()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_key_is_what_sendgrid_shows_and_nothing_else() {
        let shown = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA==";
        assert!(shown.parse::<VerificationKey>().is_ok());
        for bad in ["", "SG.abc", "MFkw", &shown[4..], &format!("{shown}{shown}")] {
            assert_eq!(bad.parse::<VerificationKey>(), Err(NotAKey), "{bad}");
        }
    }

    fn whats(event: &Value) -> Option<Vec<FeedbackEvent>> {
        Some(read(event)?.findings.into_iter().map(|finding| finding.what).collect())
    }

    #[test]
    fn every_event_that_concerns_us_is_read() {
        let failed =
            |status: &str, blame| FeedbackEvent::Failed { status: status.to_owned(), blame };
        let event = |event: &str, more: Value| {
            let mut all = json!({
                "email": "jenny@bakery.example", "timestamp": 1_513_299_569, "event": event, "category": ["cat facts"],
                "smtp-id": "<letter_1@rocket.example>", "sg_event_id": "e1", "sg_message_id": "m1"
            });
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            whats(&all)
        };
        let (address, letter) = (Cause::Address, Cause::Letter);
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
                vec![failed("5.0.0", letter), FeedbackEvent::told("abuse")],
            ),
            ("dropped", json!({"reason": "Invalid SMTPAPI header"}), vec![failed("5.0.0", letter)]),
            ("spamreport", json!({}), vec![FeedbackEvent::told("abuse")]),
            ("unsubscribe", json!({}), vec![FeedbackEvent::Unsubscribed]),
            ("group_unsubscribe", json!({"asm_group_id": 10}), vec![FeedbackEvent::Unsubscribed]),
        ] {
            assert_eq!(event(name, more.clone()), Some(expected), "{name} {more}");
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
            assert_eq!(event(name, json!({})), None, "{name}");
        }
        assert_eq!(whats(&json!({"event": 1})), None);
    }

    #[test]
    fn an_event_names_the_letter_by_our_argument_and_by_its_message_id() {
        let event = json!({
            "email": "jenny@bakery.example", "event": "spamreport", "sg_event_id": "e1", "letter_id": "letter_1",
            "smtp-id": "<letter_1@rocket.example>"
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
