//! Parses reports that mail servers send: delivery status notifications (RFC 3464) and abuse
//! feedback reports (RFC 5965). Anyone can send one, so parsing is bounded: [`MAX_BYTES`] here,
//! depth and number of parts in [`crate::mail::parts`].

use super::{Channel, FeedbackEvent, FeedbackReport, LetterRef, RecipientReport};
use crate::mail::parts::{self, MAX_DEPTH, MAX_PARTS, MimePart};

/// The largest report that is parsed. A report that contains our letter has about 50 KB.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A letter has two recipients, and each entry may write to the database.
const MAX_RECIPIENTS: usize = 50;

/// Why a message is not a usable report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseReportError {
    #[error("larger than {} KB, so not a report: not parsed", MAX_BYTES / 1024)]
    TooLarge,
    #[error(
        "nested deeper than {MAX_DEPTH} levels or more than {MAX_PARTS} parts, so not a report: \
         not parsed"
    )]
    TooComplex,
    /// Has neither a `message/delivery-status` part with an action and a status nor a
    /// `message/feedback-report` part with a type.
    #[error("neither a delivery report (RFC 3464) nor a feedback report (RFC 5965)")]
    NotAReport,
    #[error(
        "the report was not sent to a letter's return path and contains no headers of a letter, so \
         the letter is unknown"
    )]
    NoLetter,
}

impl FeedbackReport {
    /// Parses a message. Blocks for some milliseconds if it is large.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseReportError> {
        if bytes.len() > MAX_BYTES {
            return Err(ParseReportError::TooLarge);
        }
        let parts =
            parts::split(bytes).map_err(|parts::TooComplex| ParseReportError::TooComplex)?;
        let mut letter_ref = LetterRef::default();
        let message = parts.first();
        for recipient in message.iter().flat_map(|message| &message.recipients) {
            letter_ref.add_addresses(recipient);
        }
        let recipients = match text_of(&parts, "feedback-report") {
            Some(fields) => feedback(&fields, &mut letter_ref),
            None => delivery(&text_of(&parts, "delivery-status").unwrap_or_default()),
        };
        if recipients.is_empty() {
            return Err(ParseReportError::NotAReport);
        }
        // The return path and the returned headers may both identify the letter; either suffices.
        if let Some(id) = returned_id(&parts) {
            letter_ref.add_message_id(&id);
        }
        if letter_ref.is_empty() {
            return Err(ParseReportError::NoLetter);
        }
        // Most reports have a Message-ID, which is the same on every path; the others are
        // identified by their bytes.
        let id =
            message.and_then(|message| message.message_id.as_deref()).map_or(bytes, str::as_bytes);
        Ok(Self::new(Channel::Mail, id, letter_ref, recipients))
    }
}

/// The text of the first part of type `message/<subtype>`.
fn text_of(parts: &[MimePart<'_>], subtype: &str) -> Option<String> {
    let part = parts.iter().find(|part| part.is("message", subtype))?;
    Some(String::from_utf8_lossy(&part.contents()).into_owned())
}

/// One entry per address in a delivery status notification.
fn delivery(text: &str) -> Vec<RecipientReport> {
    // Groups of fields separated by empty lines; the first group is about the message as a whole
    // (RFC 3464 section 2.1).
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let blocks = lines.split(|line| line.is_empty());
    blocks.filter_map(|block| recipient(&Fields(block))).take(MAX_RECIPIENTS).collect()
}

fn recipient(fields: &Fields<'_>) -> Option<RecipientReport> {
    // `rfc822; jenny@bakery.example`
    let address = |name: &str| Some(fields.get(name)?.split_once(';')?.1.trim().to_owned());
    let addresses =
        [address("final-recipient"), address("original-recipient")].into_iter().flatten();
    // The block about the message as a whole has neither field and is skipped.
    let (action, status) = (fields.get("action")?, fields.get("status")?);
    // RFC 3463 calls class 5 permanent.
    let event = if action.eq_ignore_ascii_case("failed") && status.starts_with('5') {
        FeedbackEvent::failed(Some(status), None)
    } else {
        FeedbackEvent::Transient
    };
    Some(RecipientReport { addresses: addresses.collect(), event })
}

/// The entry of a feedback report; empty if it has no type.
fn feedback(text: &str, letter_ref: &mut LetterRef) -> Vec<RecipientReport> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let fields = Fields(&lines);
    let Some(kind) = fields.get("feedback-type") else { return Vec::new() };
    // Feedback loops often redact the recipient, but not our return path.
    if let Some(sender) = fields.get("original-mail-from") {
        letter_ref.add_addresses(sender);
    }
    let bare = |text: &str| text.trim_matches(['<', '>', ' ']).to_owned();
    let addresses = fields.all("original-rcpt-to").map(bare).collect();
    vec![RecipientReport { addresses, event: FeedbackEvent::from_feedback_type(kind) }]
}

/// Lines of the form `Name: value`. Continuation lines are ignored: no field used here has any.
struct Fields<'a>(&'a [&'a str]);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The Message-ID of the returned letter: the report contains it whole, or its headers (RFC 6522).
fn returned_id(parts: &[MimePart<'_>]) -> Option<String> {
    let mut letters =
        parts.iter().filter(|part| part.is_message() || part.is("text", "rfc822-headers"));
    letters.find_map(|part| MimePart::read(&part.contents()).message_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Cause;

    const HEADERS: &str = "Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <letter_1@rocket.example>\r\nSubject: x\r\n";
    const WHOLE: &str = "Content-Type: message/rfc822\r\n\r\nMessage-ID: <letter_1@rocket.example>\r\nSubject: x\r\n\r\ntext\r\n";
    const NOTHING: &str = "Content-Type: text/plain\r\n\r\nnothing";
    const RETURN_PATH: &str = "bounces+0193a1b2c3d47e5f8091a2b3c4d5e6f7@rocket.example";
    const LETTER: &str = "letter_0193a1b2c3d47e5f8091a2b3c4d5e6f7";

    /// A notification as Postfix writes it, shortened.
    fn bounce(head: &str, action: &str, status: &str, returned: &str) -> Vec<u8> {
        format!(
            "From: MAILER-DAEMON@mx.example (Mail Delivery System)\r\n\
             Subject: Undelivered Mail Returned to Sender\r\n{head}\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nI'm sorry to have to inform you.\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; mx.example\r\n\r\n\
             Final-Recipient: rfc822; jenny@bakery.example\r\n\
             Action: {action}\r\nDiagnostic-Code: smtp; 550 unknown\r\nStatus: {status}\r\n\
             --b\r\n{returned}\r\n--b--\r\n"
        )
        .into_bytes()
    }

    fn complaint(fields: &str, returned: &str) -> Vec<u8> {
        format!(
            "From: <feedback@mail.example>\r\nTo: <abuse@rocket.example>\r\nSubject: FW: an offer\r\n\
             Message-ID: <report-1@mail.example>\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain; charset=\"US-ASCII\"\r\n\r\nAn abuse report.\r\n\
             --b\r\nContent-Type: message/feedback-report\r\n\r\n{fields}\r\n\
             --b\r\n{returned}\r\n--b--\r\n"
        )
        .into_bytes()
    }

    fn only(report: &[u8]) -> (LetterRef, RecipientReport) {
        let mut found = FeedbackReport::parse(report).unwrap();
        assert_eq!(found.recipients.len(), 1);
        (found.letter_ref, found.recipients.remove(0))
    }

    #[test]
    fn a_notification_identifies_the_letter_and_each_recipients_status() {
        for returned in [HEADERS, WHOLE] {
            let (letter_ref, recipient) = only(&bounce("", "failed", "5.1.1", returned));
            assert_eq!(letter_ref.message_ids, ["letter_1@rocket.example"]);
            assert_eq!(recipient.addresses, ["jenny@bakery.example"]);
            assert_eq!(
                recipient.event,
                FeedbackEvent::Failed { status: "5.1.1".to_owned(), cause: Cause::Address }
            );
        }
        for (action, status) in [("delayed", "4.4.1"), ("delivered", "2.0.0"), ("failed", "4.4.7")]
        {
            let (_, recipient) = only(&bounce("", action, status, HEADERS));
            assert_eq!(recipient.event, FeedbackEvent::Transient, "{action} {status}");
        }
        let two = "5.7.1\r\n\r\nOriginal-Recipient: rfc822;copy@x.example\r\nFinal-Recipient: rfc822;y@z.example\r\n\
                   Action: delayed\r\nStatus: 4.2.0";
        let found = FeedbackReport::parse(&bounce("", "failed", two, HEADERS)).unwrap();
        assert_eq!(
            found.recipients[0].event,
            FeedbackEvent::Failed { status: "5.7.1".to_owned(), cause: Cause::Letter }
        );
        assert_eq!(found.recipients[1].addresses, ["y@z.example", "copy@x.example"]);
    }

    #[test]
    fn a_report_to_the_return_path_needs_no_headers() {
        for name in ["To", "Delivered-To", "X-Original-To", "Original-Rcpt-To"] {
            let head = format!("{name}: <{}>\r\n", RETURN_PATH.to_uppercase());
            let (letter_ref, _) = only(&bounce(&head, "failed", "5.1.1", NOTHING));
            assert_eq!(
                (letter_ref.letter_ids, letter_ref.message_ids),
                (vec![LETTER.to_owned()], vec![]),
                "{name}"
            );
        }
    }

    #[test]
    fn a_complaint_identifies_the_letter_by_sender_or_headers() {
        let fields = format!(
            "Feedback-Type: Abuse\r\nUser-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n\
             Original-Mail-From: <{RETURN_PATH}>\r\nOriginal-Rcpt-To: <jenny@bakery.example>\r\nSource-IP: 192.0.2.1\r\n"
        );
        let (letter_ref, recipient) = only(&complaint(&fields, WHOLE));
        assert_eq!(
            (&letter_ref.letter_ids, &letter_ref.message_ids),
            (&vec![LETTER.to_owned()], &vec!["letter_1@rocket.example".to_owned()],)
        );
        assert_eq!(recipient.addresses, ["jenny@bakery.example"]);
        assert_eq!(recipient.event, FeedbackEvent::Complaint { kind: "abuse".to_owned() });
        for (kind, event) in [
            ("fraud", FeedbackEvent::Complaint { kind: "fraud".to_owned() }),
            ("virus", FeedbackEvent::Complaint { kind: "virus".to_owned() }),
            ("something-new", FeedbackEvent::Complaint { kind: "something-new".to_owned() }),
            ("not-spam", FeedbackEvent::NotSpam),
            ("auth-failure", FeedbackEvent::Transient),
        ] {
            let (_, recipient) =
                only(&complaint(&format!("Feedback-Type: {kind}\r\nVersion: 1\r\n"), HEADERS));
            assert_eq!((recipient.addresses.len(), recipient.event), (0, event), "{kind}");
        }
    }

    #[test]
    fn the_fingerprint_does_not_depend_on_the_path() {
        let print = |head: &str| {
            FeedbackReport::parse(&bounce(head, "failed", "5.1.1", HEADERS)).unwrap().fingerprint
        };
        let id = "Message-ID: <1@mx.example>\r\n";
        assert_eq!(print(id), print(&format!("Delivered-To: x@y.example\r\n{id}")));
        assert_ne!(print(id), print("Message-ID: <2@mx.example>\r\n"));
        assert_ne!(print(""), print("X-Other: 1\r\n"));
    }

    #[test]
    fn other_messages_are_rejected_with_the_reason() {
        assert_eq!(
            FeedbackReport::parse(b"Subject: hello\r\n\r\nhello"),
            Err(ParseReportError::NotAReport)
        );
        assert_eq!(
            FeedbackReport::parse(&bounce("", "failed", "5.1.1", NOTHING)),
            Err(ParseReportError::NoLetter)
        );
        assert_eq!(
            FeedbackReport::parse(&complaint("Version: 1\r\n", WHOLE)),
            Err(ParseReportError::NotAReport)
        );
        assert!(FeedbackReport::parse(b"").is_err());
    }

    #[test]
    fn large_or_deeply_nested_messages_are_not_parsed() {
        let bomb = |levels: usize| {
            let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(levels);
            FeedbackReport::parse(&bounce(
                "",
                "failed",
                "5.1.1",
                &format!("{nested}Message-ID: <1@x>\r\n\r\nx"),
            ))
        };
        let many =
            format!("5.1.1\r\n\r\n{}", "Action: failed\r\nStatus: 5.1.1\r\n\r\n".repeat(20_000));
        let found = FeedbackReport::parse(&bounce("", "failed", &many, HEADERS)).unwrap();
        assert_eq!(found.recipients.len(), MAX_RECIPIENTS);
        assert_eq!(bomb(parts::MAX_DEPTH).unwrap_err(), ParseReportError::TooComplex);
        assert_eq!(bomb(25_000).unwrap_err(), ParseReportError::TooComplex);
        assert_eq!(bomb(3).unwrap_err(), ParseReportError::NoLetter, "it was parsed");
        let with = |bytes: usize| {
            let report = bounce("", "failed", "5.1.1", HEADERS);
            let filling = bytes - report.len();
            FeedbackReport::parse(&[report, vec![b'x'; filling]].concat())
        };
        assert!(with(MAX_BYTES).is_ok());
        assert_eq!(with(MAX_BYTES + 1).unwrap_err(), ParseReportError::TooLarge);
    }

    #[test]
    fn invalid_ids_are_dropped() {
        for id in ["letter\0_1@x", "\u{1b}@x", "", "a b@x"] {
            let mut letter_ref = LetterRef::default();
            letter_ref.add_message_id(id);
            letter_ref.add_letter(id);
            assert!(letter_ref.is_empty(), "{id:?}");
        }
        let mut letter_ref = LetterRef::default();
        letter_ref.add_letter(&"x".repeat(999));
        assert!(letter_ref.is_empty());
        let report = bounce("", "failed", "5.1.1", &HEADERS.replace("letter_1", "letter\0_1"));
        assert_eq!(FeedbackReport::parse(&report), Err(ParseReportError::NoLetter));
    }
}
