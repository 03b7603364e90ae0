//! `POST /inbound/postmark`: Postmark's webhooks for bounces, spam complaints and subscription
//! changes (<https://postmarkapp.com/developer/webhooks/webhooks-overview>). They are not signed:
//! the webhook URL in Postmark's settings contains a key, as in
//! `https://postmark:courier_…@courier.example/inbound/postmark`.
//!
//! Postmark assigns its own message ids. The letter is identified by the metadata that every letter
//! carries (`X-PM-Metadata-letter-id`).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::Value;

use super::{Inbound, ReportResponse};
use crate::feedback::{Cause, Channel, FeedbackEvent, FeedbackReport, LetterRef, RecipientReport};
use crate::web::api::Refusal;

/// Postmark can be configured to include the bounced message.
const MAX_BYTES: usize = 10 * 1024 * 1024;
const LETTER_ID: &str = "letter-id";

#[tracing::instrument(name = "report.receive_postmark", skip_all)]
pub(super) async fn receive(
    State(inbound): State<Inbound>,
    request: Request,
) -> Result<Json<ReportResponse>, Refusal> {
    let body = inbound.api.read_body(request, MAX_BYTES).await?;
    match read(&body) {
        Some(report) => inbound.apply(&report).await,
        None => Ok(inbound.ignore(
            Channel::Postmark,
            "a record that is not about a bounce, a complaint or a subscription",
        )),
    }
}

/// The fields that we use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PostmarkRecord {
    record_type: String,
    /// Present in bounces and complaints.
    #[serde(rename = "ID")]
    id: Option<i64>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    email: Option<String>,
    details: Option<String>,
    /// Present in subscription changes.
    recipient: Option<String>,
    #[serde(rename = "MessageID")]
    message_id: Option<String>,
    changed_at: Option<String>,
    suppress_sending: Option<bool>,
    suppression_reason: Option<String>,
    origin: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
}

/// Parses a record. `None` if it is about something else, or not understood.
fn read(body: &[u8]) -> Option<FeedbackReport> {
    let record: PostmarkRecord = serde_json::from_slice(body).ok()?;
    let event = record.event()?;
    let mut letter_ref = LetterRef::default();
    // The letter is identified by its metadata alone: Postmark replaces the Message-ID.
    for (name, value) in record.metadata.iter().flatten() {
        if let (true, Some(letter_id)) = (name.eq_ignore_ascii_case(LETTER_ID), value.as_str()) {
            letter_ref.add_letter(letter_id);
        }
    }
    let addresses = [&record.email, &record.recipient].into_iter().flatten().cloned().collect();
    let recipients = vec![RecipientReport { addresses, event }];
    Some(FeedbackReport::new(Channel::Postmark, record.id_within_channel(), letter_ref, recipients))
}

impl PostmarkRecord {
    fn event(&self) -> Option<FeedbackEvent> {
        match self.record_type.as_str() {
            "Bounce" => self.bounce(),
            "SpamComplaint" => Some(FeedbackEvent::spam()),
            "SubscriptionChange" if self.suppress_sending == Some(true) => self.suppressed(),
            _ => None,
        }
    }

    /// Postmark's bounce types: <https://postmarkapp.com/developer/api/bounce-api#bounce-types>.
    fn bounce(&self) -> Option<FeedbackEvent> {
        let failed = |cause| FeedbackEvent::failed(self.details.as_deref(), Some(cause));
        match self.kind.as_deref()? {
            "HardBounce" | "BadEmailAddress" | "ManuallyDeactivated" => {
                Some(failed(Cause::Address))
            }
            "Blocked" | "DMARCPolicy" | "SpamNotification" | "VirusNotification"
            | "SMTPApiError" => Some(failed(Cause::Letter)),
            "SpamComplaint" => Some(FeedbackEvent::spam()),
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

    /// Broadcast streams report bounces and complaints only in this way.
    fn suppressed(&self) -> Option<FeedbackEvent> {
        match (self.suppression_reason.as_deref()?, self.origin.as_deref()) {
            ("HardBounce", _) => Some(FeedbackEvent::failed(None, Some(Cause::Address))),
            ("SpamComplaint", _) => Some(FeedbackEvent::spam()),
            // The platform suppressed the address itself.
            ("ManualSuppression", Some("Customer" | "Admin")) => None,
            ("ManualSuppression", _) => Some(FeedbackEvent::Unsubscribed),
            _ => None,
        }
    }

    fn id_within_channel(&self) -> String {
        let Self { record_type, message_id, changed_at, .. } = self;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        match self.id {
            Some(id) => format!("{record_type}\0{id}"),
            None => format!("{record_type}\0{}\0{}", text(message_id), text(changed_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Fingerprint;
    use serde_json::json;

    /// As documented by Postmark.
    fn bounce(kind: &str) -> Value {
        json!({
            "RecordType": "Bounce", "ID": 42, "Type": kind, "TypeCode": 1, "Name": "Hard bounce",
            "Tag": "Test", "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
            "ServerID": 1234, "MessageStream": "outbound",
            "Description": "The server was unable to deliver your message.",
            "Details": "smtp;550 5.1.1 unknown", "Email": "jenny@bakery.example",
            "From": "capital@rocket.example", "BouncedAt": "2026-11-24T12:00:05.0000000Z",
            "DumpAvailable": true, "Inactive": true, "CanActivate": true,
            "Subject": "x", "Content": "...",
            "Metadata": {"letter-id": "letter_1"}
        })
    }

    fn change(reason: &Value, origin: &str, suppress: bool) -> Value {
        json!({
            "RecordType": "SubscriptionChange",
            "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "ServerID": 123_456,
            "MessageStream": "outbound", "ChangedAt": "2026-11-24T12:00:00Z",
            "Recipient": "jenny@bakery.example", "Origin": origin, "SuppressSending": suppress,
            "SuppressionReason": reason, "Tag": null,
            "Metadata": {"Letter-ID": "letter_1", "other": 1}
        })
    }

    fn event(record: &Value) -> Option<FeedbackEvent> {
        Some(read(record.to_string().as_bytes())?.recipients.remove(0).event)
    }

    #[test]
    fn the_bounce_type_decides_the_event() {
        let failed = |cause| FeedbackEvent::Failed { status: "5.1.1".to_owned(), cause };
        for (kind, expected) in [
            ("HardBounce", Some(failed(Cause::Address))),
            ("BadEmailAddress", Some(failed(Cause::Address))),
            ("ManuallyDeactivated", Some(failed(Cause::Address))),
            ("Blocked", Some(failed(Cause::Letter))),
            ("SpamNotification", Some(failed(Cause::Letter))),
            ("SpamComplaint", Some(FeedbackEvent::spam())),
            ("Unsubscribe", Some(FeedbackEvent::Unsubscribed)),
            ("Transient", Some(FeedbackEvent::Transient)),
            ("SoftBounce", Some(FeedbackEvent::Transient)),
            ("AutoResponder", Some(FeedbackEvent::Transient)),
            ("SomethingNew", None),
        ] {
            assert_eq!(event(&bounce(kind)), expected, "{kind}");
        }
    }

    #[test]
    fn the_suppression_reason_decides_the_event() {
        let address = FeedbackEvent::Failed { status: "5.0.0".to_owned(), cause: Cause::Address };
        for (reason, origin, suppress, expected) in [
            (json!("HardBounce"), "Recipient", true, Some(address)),
            (json!("SpamComplaint"), "Recipient", true, Some(FeedbackEvent::spam())),
            (json!("ManualSuppression"), "Recipient", true, Some(FeedbackEvent::Unsubscribed)),
            (json!("ManualSuppression"), "Customer", true, None),
            (json!(null), "Recipient", false, None),
        ] {
            assert_eq!(event(&change(&reason, origin, suppress)), expected, "{reason} {origin}");
        }
    }

    #[test]
    fn a_record_identifies_the_letter_and_itself() {
        let mut letter_ref = LetterRef::default();
        letter_ref.add_letter("letter_1");
        let [bounced, changed] =
            [bounce("HardBounce"), change(&json!("HardBounce"), "Recipient", true)]
                .map(|record| read(record.to_string().as_bytes()).unwrap());
        assert_eq!((&bounced.letter_ref, &changed.letter_ref), (&letter_ref, &letter_ref));
        assert_eq!(changed.recipients[0].addresses, ["jenny@bakery.example"]);
        assert_eq!(
            bounced.fingerprint,
            Fingerprint::of(Channel::Postmark, "Bounce\0".to_owned() + "42")
        );
        assert_ne!(bounced.fingerprint, changed.fingerprint);
    }

    #[test]
    fn other_records_are_ignored() {
        for record in [
            json!({"RecordType": "Open"}),
            json!({"RecordType": "Delivery"}),
            json!([]),
            json!({"Type": "x"}),
        ] {
            assert_eq!(event(&record), None, "{record}");
        }
        assert_eq!(read(b"{"), None);
    }
}
