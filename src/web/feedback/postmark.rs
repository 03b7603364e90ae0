//! `POST /inbound/postmark`: Postmark's webhooks for bounces, spam complaints and subscription changes
//! (<https://postmarkapp.com/developer/webhooks/webhooks-overview>). They are not signed: the address in Postmark's settings holds a
//! key, as `https://postmark:courier_…@courier.example/inbound/postmark`.
//!
//! Postmark gives a message an id of its own. Which letter it was stands in the metadata that every letter carries
//! (`X-PM-Metadata-letter-id`).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::Value;

use super::{Inbound, Said};
use crate::feedback::{Cause, Channel, FeedbackEvent, Finding, Fingerprint, LetterRef, Report};
use crate::http::body::{self, Limits};
use crate::web::api::Refusal;

/// Postmark adds the message as it came back where it is told to.
const MAX_BYTES: usize = 10 * 1024 * 1024;
const LETTER_ID: &str = "letter-id";

/// Takes what one request tells.
#[tracing::instrument(name = "report.receive_postmark", skip_all)]
pub(super) async fn receive(
    State(inbound): State<Inbound>,
    request: Request,
) -> Result<Json<Said>, Refusal> {
    let (head, body) = request.into_parts();
    let limits = Limits { max_bytes: MAX_BYTES, timeout: inbound.api.read_timeout };
    let body = body::read(&head.headers, body, limits).await?;
    match read(&body) {
        Some(report) => inbound.take(&report).await,
        None => Ok(inbound.pass_over(
            Channel::Postmark,
            "a record that is not about a bounce, a complaint or a wish",
        )),
    }
}

/// A record, as far as we read it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    #[serde(rename = "RecordType")]
    about: String,
    /// Of a bounce or a complaint.
    #[serde(rename = "ID")]
    id: Option<i64>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    email: Option<String>,
    details: Option<String>,
    /// Of a subscription change.
    recipient: Option<String>,
    #[serde(rename = "MessageID")]
    message_id: Option<String>,
    changed_at: Option<String>,
    suppress_sending: Option<bool>,
    suppression_reason: Option<String>,
    origin: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, Value>>,
}

/// The report in a record; none where it is about something else, or nothing that we know.
fn read(body: &[u8]) -> Option<Report> {
    let record: Record = serde_json::from_slice(body).ok()?;
    let what = record.what()?;
    let mut letter_ref = LetterRef::default();
    for (name, value) in record.metadata.iter().flatten() {
        if let (true, Some(letter_id)) = (name.eq_ignore_ascii_case(LETTER_ID), value.as_str()) {
            letter_ref.add_letter(letter_id);
        }
    }
    let addresses = [&record.email, &record.recipient].into_iter().flatten().cloned().collect();
    let fingerprint = Fingerprint::of(Channel::Postmark, record.own_id());
    Some(Report {
        channel: Channel::Postmark,
        fingerprint,
        letter_ref,
        findings: vec![Finding { addresses, what }],
    })
}

impl Record {
    fn what(&self) -> Option<FeedbackEvent> {
        match self.about.as_str() {
            "Bounce" => self.bounce(),
            "SpamComplaint" => Some(FeedbackEvent::told("abuse")),
            "SubscriptionChange" if self.suppress_sending == Some(true) => self.suppressed(),
            _ => None,
        }
    }

    /// By Postmark's types (<https://postmarkapp.com/developer/api/bounce-api#bounce-types>).
    fn bounce(&self) -> Option<FeedbackEvent> {
        let failed = |whose: Cause| {
            FeedbackEvent::failed(self.details.as_deref().unwrap_or_default()).blaming(whose)
        };
        match self.kind.as_deref()? {
            "HardBounce" | "BadEmailAddress" | "ManuallyDeactivated" => {
                Some(failed(Cause::Address))
            }
            "Blocked" | "DMARCPolicy" | "SpamNotification" | "VirusNotification"
            | "SMTPApiError" => Some(failed(Cause::Letter)),
            "SpamComplaint" => Some(FeedbackEvent::told("abuse")),
            "Unsubscribe" => Some(FeedbackEvent::Unsubscribed),
            "Transient"
            | "SoftBounce"
            | "DnsError"
            | "AutoResponder"
            | "AddressChange"
            | "ChallengeVerification" => Some(FeedbackEvent::Transient),
            _ => None,
        }
    }

    /// A stream for broadcasts tells bounces and complaints in this way alone.
    fn suppressed(&self) -> Option<FeedbackEvent> {
        match (self.suppression_reason.as_deref()?, self.origin.as_deref()) {
            ("HardBounce", _) => Some(FeedbackEvent::failed("").blaming(Cause::Address)),
            ("SpamComplaint", _) => Some(FeedbackEvent::told("abuse")),
            // The platform itself did it, and knows.
            ("ManualSuppression", Some("Customer" | "Admin")) => None,
            ("ManualSuppression", _) => Some(FeedbackEvent::Unsubscribed),
            _ => None,
        }
    }

    fn own_id(&self) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        match self.id {
            Some(id) => format!("{}\0{id}", self.about),
            None => {
                format!("{}\0{}\0{}", self.about, text(&self.message_id), text(&self.changed_at))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As Postmark documents it.
    fn bounce(kind: &str) -> Value {
        json!({
            "RecordType": "Bounce", "ID": 42, "Type": kind, "TypeCode": 1, "Name": "Hard bounce", "Tag": "Test",
            "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "ServerID": 1234, "MessageStream": "outbound",
            "Description": "The server was unable to deliver your message.", "Details": "smtp;550 5.1.1 unknown",
            "Email": "jenny@bakery.example", "From": "capital@rocket.example", "BouncedAt": "2026-11-24T12:00:05.0000000Z",
            "DumpAvailable": true, "Inactive": true, "CanActivate": true, "Subject": "x", "Content": "...",
            "Metadata": {"letter-id": "letter_1"}
        })
    }

    fn change(reason: &Value, origin: &str, suppress: bool) -> Value {
        json!({
            "RecordType": "SubscriptionChange", "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "ServerID": 123_456,
            "MessageStream": "outbound", "ChangedAt": "2026-11-24T12:00:00Z", "Recipient": "jenny@bakery.example",
            "Origin": origin, "SuppressSending": suppress, "SuppressionReason": reason, "Tag": null,
            "Metadata": {"Letter-ID": "letter_1", "other": 1}
        })
    }

    fn what(record: &Value) -> Option<FeedbackEvent> {
        Some(read(record.to_string().as_bytes())?.findings.remove(0).what)
    }

    #[test]
    fn bounces_are_read_by_their_type() {
        let failed = |blame| FeedbackEvent::Failed { status: "5.1.1".to_owned(), blame };
        for (kind, expected) in [
            ("HardBounce", Some(failed(Cause::Address))),
            ("BadEmailAddress", Some(failed(Cause::Address))),
            ("ManuallyDeactivated", Some(failed(Cause::Address))),
            ("Blocked", Some(failed(Cause::Letter))),
            ("SpamNotification", Some(failed(Cause::Letter))),
            ("SpamComplaint", Some(FeedbackEvent::told("abuse"))),
            ("Unsubscribe", Some(FeedbackEvent::Unsubscribed)),
            ("Transient", Some(FeedbackEvent::Transient)),
            ("SoftBounce", Some(FeedbackEvent::Transient)),
            ("AutoResponder", Some(FeedbackEvent::Transient)),
            ("SomethingNew", None),
        ] {
            assert_eq!(what(&bounce(kind)), expected, "{kind}");
        }
    }

    #[test]
    fn a_subscription_that_ended_is_read_by_its_reason() {
        let address = FeedbackEvent::Failed { status: "5.0.0".to_owned(), blame: Cause::Address };
        for (reason, origin, suppress, expected) in [
            (json!("HardBounce"), "Recipient", true, Some(address)),
            (json!("SpamComplaint"), "Recipient", true, Some(FeedbackEvent::told("abuse"))),
            (json!("ManualSuppression"), "Recipient", true, Some(FeedbackEvent::Unsubscribed)),
            (json!("ManualSuppression"), "Customer", true, None),
            (json!(null), "Recipient", false, None),
        ] {
            assert_eq!(what(&change(&reason, origin, suppress)), expected, "{reason} {origin}");
        }
    }

    #[test]
    fn a_record_names_the_letter_by_its_metadata_and_itself_by_its_id() {
        let mut letter_ref = LetterRef::default();
        letter_ref.add_letter("letter_1");
        let [bounced, changed] =
            [bounce("HardBounce"), change(&json!("HardBounce"), "Recipient", true)]
                .map(|record| read(record.to_string().as_bytes()).unwrap());
        assert_eq!((&bounced.letter_ref, &changed.letter_ref), (&letter_ref, &letter_ref));
        assert_eq!(changed.findings[0].addresses, ["jenny@bakery.example"]);
        assert_eq!(
            bounced.fingerprint,
            Fingerprint::of(Channel::Postmark, "Bounce\0".to_owned() + "42")
        );
        assert_ne!(bounced.fingerprint, changed.fingerprint);
    }

    #[test]
    fn anything_else_is_passed_over() {
        for record in [
            json!({"RecordType": "Open"}),
            json!({"RecordType": "Delivery"}),
            json!([]),
            json!({"Type": "x"}),
        ] {
            assert_eq!(what(&record), None, "{record}");
        }
        assert_eq!(read(b"{"), None);
    }
}
