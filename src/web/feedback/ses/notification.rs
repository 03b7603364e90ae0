//! Amazon SES's messages about an email: notifications of an identity
//! (<https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html>) and events of a
//! configuration set
//! (<https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>). The
//! two differ in the name of one field.
//!
//! SES replaces the Message-ID by its own; ours is among the headers of the original, and our
//! return path is in `mail.source`.

use serde::Deserialize;

use crate::feedback::{Cause, Channel, FeedbackEvent, FeedbackReport, LetterRef, RecipientReport};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SesNotification {
    #[serde(rename = "notificationType", alias = "eventType")]
    about: String,
    mail: SesMail,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SesMail {
    source: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
    common_headers: Option<CommonHeaders>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommonHeaders {
    message_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    #[serde(rename = "bounceType")]
    kind: String,
    #[serde(default)]
    bounced_recipients: Vec<Recipient>,
    feedback_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    #[serde(rename = "complaintFeedbackType")]
    kind: Option<String>,
    #[serde(default)]
    complained_recipients: Vec<Recipient>,
    feedback_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: String,
    status: Option<String>,
}

/// Parses a notification. `None` if it is about something other than a bounce or a complaint.
pub(super) fn read(message: &str, sns_message_id: &str) -> Option<FeedbackReport> {
    let SesNotification { about, mail, bounce, complaint } = serde_json::from_str(message).ok()?;
    let (recipients, feedback_id) = match (about.as_str(), bounce, complaint) {
        ("Bounce", Some(bounce), _) => (bounce.recipients(), bounce.feedback_id),
        ("Complaint", _, Some(complaint)) => (complaint.recipients(), complaint.feedback_id),
        _ => return None,
    };
    // An identity and a configuration set may report the same feedback. For a message with several
    // recipients, each may arrive separately, so the addresses are part of the fingerprint.
    let mut id = feedback_id.unwrap_or_else(|| sns_message_id.to_owned());
    for address in recipients.iter().flat_map(|recipient| &recipient.addresses) {
        id.extend(["\0", address]);
    }
    Some(FeedbackReport::new(Channel::Ses, id, mail.letter_ref(), recipients))
}

impl SesMail {
    fn letter_ref(&self) -> LetterRef {
        let mut letter_ref = LetterRef::default();
        self.source.iter().for_each(|source| letter_ref.add_addresses(source));
        for header in &self.headers {
            if header.name.eq_ignore_ascii_case("message-id") {
                letter_ref.add_message_id(&header.value);
            }
        }
        if let Some(CommonHeaders { message_id: Some(id) }) = &self.common_headers {
            letter_ref.add_message_id(id);
        }
        letter_ref
    }
}

impl Bounce {
    /// SES reports a bounce as permanent if the address should be removed from all lists; others
    /// may pass.
    fn recipients(&self) -> Vec<RecipientReport> {
        let is_permanent = self.kind == "Permanent";
        let report = |recipient: &Recipient| RecipientReport {
            addresses: vec![recipient.email_address.clone()],
            event: if is_permanent {
                FeedbackEvent::failed(recipient.status.as_deref(), Some(Cause::Address))
            } else {
                FeedbackEvent::Transient
            },
        };
        self.bounced_recipients.iter().map(report).collect()
    }
}

impl Complaint {
    /// One report for all recipients: SES often does not know which of them complained.
    fn recipients(&self) -> Vec<RecipientReport> {
        let complained = self.complained_recipients.iter();
        let addresses = complained.map(|recipient| recipient.email_address.clone()).collect();
        let kind = self.kind.as_deref();
        let event = kind.map_or_else(FeedbackEvent::spam, FeedbackEvent::from_feedback_type);
        vec![RecipientReport { addresses, event }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mail() -> Value {
        json!({
            "timestamp": "2026-11-24T12:00:00.000Z",
            "source": "bounces+0193a1b2c3d47e5f8091a2b3c4d5e6f7@rocket.example",
            "messageId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa0680-000000",
            "destination": ["jenny@bakery.example", "capital-offers@stripe.com"],
            "headersTruncated": false,
            "headers": [
                {"name": "From", "value": "Rocket Capital <capital@rocket.example>"},
                {"name": "Message-ID", "value": "<letter_1@rocket.example>"}
            ],
            "commonHeaders": {
                "from": ["Rocket Capital <capital@rocket.example>"],
                "messageId": "<letter_1@rocket.example>",
            }
        })
    }

    fn bounce(kind: &str, recipients: &Value) -> Value {
        json!({
            "bounceType": kind, "bounceSubType": "General", "bouncedRecipients": recipients,
            "timestamp": "2026-11-24T12:00:05.000Z", "feedbackId": "0000-1",
            "reportingMTA": "dsn; a8-70.smtp-out.amazonses.com"
        })
    }

    fn read(notification: &Value) -> Option<FeedbackReport> {
        super::read(&notification.to_string(), "sns-1")
    }

    #[test]
    fn a_bounce_names_the_letter_in_three_ways_and_each_recipient() {
        let recipients = json!([
            {
                "emailAddress": "jenny@bakery.example", "action": "failed", "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1",
            },
            {"emailAddress": "x@y.example"}
        ]);
        let bounce = bounce("Permanent", &recipients);
        let message = json!({"notificationType": "Bounce", "bounce": bounce, "mail": mail()});
        let report = read(&message).unwrap();
        let mut letter_ref = LetterRef::default();
        letter_ref.add_letter("letter_0193a1b2c3d47e5f8091a2b3c4d5e6f7");
        letter_ref.add_message_id("letter_1@rocket.example");
        letter_ref.add_message_id("letter_1@rocket.example");
        assert_eq!(report.letter_ref, letter_ref);
        assert_eq!(report.recipients[0].addresses, ["jenny@bakery.example"]);
        let failed = |status: &str| FeedbackEvent::Failed {
            status: status.to_owned(),
            cause: Cause::Address,
        };
        assert_eq!(
            (&report.recipients[0].event, &report.recipients[1].event),
            (&failed("5.1.1"), &failed("5.0.0"))
        );
        // The same as an event of a configuration set.
        let event = json!({"eventType": "Bounce", "bounce": bounce, "mail": mail()});
        assert_eq!(read(&event).unwrap(), report);
    }

    #[test]
    fn a_bounce_that_may_pass_is_transient() {
        for kind in ["Transient", "Undetermined", "SomethingNew"] {
            let recipients = json!([{"emailAddress": "jenny@bakery.example", "status": "5.2.2"}]);
            let bounce = bounce(kind, &recipients);
            let message = json!({"notificationType": "Bounce", "bounce": bounce, "mail": mail()});
            assert_eq!(
                read(&message).unwrap().recipients[0].event,
                FeedbackEvent::Transient,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_complaint_without_a_kind_counts_as_abuse() {
        for (kind, what) in [
            (json!("abuse"), FeedbackEvent::spam()),
            (json!("not-spam"), FeedbackEvent::NotSpam),
            (Value::Null, FeedbackEvent::spam()),
        ] {
            let complaint = json!({
                "complainedRecipients": [{"emailAddress": "jenny@bakery.example"}],
                "complaintFeedbackType": kind, "feedbackId": "0000-2",
                "userAgent": "AnyCompany Feedback Loop (V0.01)"
            });
            let message =
                json!({"notificationType": "Complaint", "complaint": complaint, "mail": mail()});
            assert_eq!(read(&message).unwrap().recipients[0].event, what);
        }
    }

    #[test]
    fn another_recipient_or_feedback_id_is_another_report() {
        let fingerprint = |id: &str, address: &str| {
            let mut bounce = bounce("Permanent", &json!([{"emailAddress": address}]));
            bounce["feedbackId"] = json!(id);
            read(&json!({"notificationType": "Bounce", "bounce": bounce, "mail": mail()}))
                .unwrap()
                .fingerprint
        };
        assert_eq!(fingerprint("1", "a@x.example"), fingerprint("1", "a@x.example"));
        assert_ne!(fingerprint("1", "a@x.example"), fingerprint("1", "b@x.example"));
        assert_ne!(fingerprint("1", "a@x.example"), fingerprint("2", "a@x.example"));
    }

    #[test]
    fn anything_else_is_ignored() {
        for message in [
            json!({"notificationType": "Delivery", "delivery": {}, "mail": mail()}).to_string(),
            json!({"eventType": "Open", "open": {}, "mail": mail()}).to_string(),
            json!({"notificationType": "Bounce", "mail": mail()}).to_string(),
            json!({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "Subscribed"})
                .to_string(),
            "Successfully validated SNS topic for Amazon SES event publishing.".to_owned(),
            "[]".to_owned(),
        ] {
            assert_eq!(super::read(&message, "sns-1"), None, "{message}");
        }
    }
}
