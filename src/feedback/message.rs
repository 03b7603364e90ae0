//! Reports as mail servers send them: delivery reports (RFC 3464) and feedback reports (RFC 5965).
//! Anybody can send one, so how much is read is bounded: [`MAX_BYTES`] here, depth and number of parts
//! in `parts`.

use super::parts::{self, MAX_DEPTH, MAX_PARTS, Part};
use super::{Channel, FeedbackEvent, Finding, Fingerprint, LetterRef, Report};

/// The largest report that is read. One with our letter in it has some 50 KB.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A letter has two recipients. FeedbackEvent is said of each may write into the database.
const MAX_FINDINGS: usize = 50;

/// Why a message says nothing about a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReport {
    /// It has more bytes than any report.
    #[error("larger than {} KB, which no report is: it was not read", MAX_BYTES / 1024)]
    TooLarge,
    /// It nests deeper, or has more parts, than any report.
    #[error(
        "nests more than {MAX_DEPTH} messages or multiparts, or has more than {MAX_PARTS} parts, \
         which no report does: it was not read"
    )]
    TooComplex,
    /// It has neither a part `message/delivery-status` with an action and a status nor a part `message/feedback-report` with a type.
    #[error("neither a delivery report (RFC 3464) nor a feedback report (RFC 5965)")]
    NotAReport,
    /// The letter that it is about is not named.
    #[error(
        "the report neither came to the letter's own return path nor carries the letter's headers, so nobody knows which it was"
    )]
    NoLetter,
}

impl Report {
    /// Reads a report as a mail server sends it. Blocks for some milliseconds where it is large.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoReport> {
        if bytes.len() > MAX_BYTES {
            return Err(NoReport::TooLarge);
        }
        let parts = parts::split(bytes).map_err(|parts::TooComplex| NoReport::TooComplex)?;
        let mut letter_ref = LetterRef::default();
        let message = parts.first();
        for recipient in message.iter().flat_map(|message| &message.recipients) {
            letter_ref.add_addresses(recipient);
        }
        let findings = match text_of(&parts, "feedback-report") {
            Some(fields) => feedback(&fields, &mut letter_ref),
            None => {
                text_of(&parts, "delivery-status").map(|text| delivery(&text)).unwrap_or_default()
            }
        };
        if findings.is_empty() {
            return Err(NoReport::NotAReport);
        }
        if let Some(id) = returned_id(&parts) {
            letter_ref.add_message_id(&id);
        }
        if letter_ref.is_empty() {
            return Err(NoReport::NoLetter);
        }
        // Most reports have an id of their own, which stays the same whichever way they come; the others are known by their bytes.
        let id =
            message.and_then(|message| message.message_id.as_deref()).map_or(bytes, str::as_bytes);
        Ok(Self {
            channel: Channel::Mail,
            fingerprint: Fingerprint::of(Channel::Mail, id),
            letter_ref,
            findings,
        })
    }
}

/// The text of the part `message/<subtype>`.
fn text_of(parts: &[Part<'_>], subtype: &str) -> Option<String> {
    let part = parts.iter().find(|part| part.is("message", subtype))?;
    Some(String::from_utf8_lossy(&part.contents()).into_owned())
}

/// One finding for each address that a delivery report speaks of.
fn delivery(text: &str) -> Vec<Finding> {
    // Groups of fields between empty lines, the first of them about the message as a whole (RFC 3464 section 2.1).
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let blocks = lines.split(|line| line.is_empty());
    blocks.filter_map(|block| recipient(&Fields(block))).take(MAX_FINDINGS).collect()
}

fn recipient(fields: &Fields<'_>) -> Option<Finding> {
    // `rfc822; jenny@bakery.example`
    let address = |name: &str| Some(fields.get(name)?.split_once(';')?.1.trim().to_owned());
    let addresses =
        [address("final-recipient"), address("original-recipient")].into_iter().flatten();
    let (action, status) = (fields.get("action")?, fields.get("status")?);
    // RFC 3463 calls class 5 permanent.
    let what = if action.eq_ignore_ascii_case("failed") && status.starts_with('5') {
        FeedbackEvent::failed(status)
    } else {
        FeedbackEvent::Transient
    };
    Some(Finding { addresses: addresses.collect(), what })
}

/// FeedbackEvent a feedback report says; nothing where it has no type.
fn feedback(text: &str, letter_ref: &mut LetterRef) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let fields = Fields(&lines);
    let Some(kind) = fields.get("feedback-type") else { return Vec::new() };
    if let Some(sender) = fields.get("original-mail-from") {
        letter_ref.add_addresses(sender);
    }
    let bare = |text: &str| text.trim_matches(['<', '>', ' ']).to_owned();
    let addresses = fields.all("original-rcpt-to").map(bare).collect();
    vec![Finding { addresses, what: FeedbackEvent::told(kind) }]
}

/// Lines of the form `Name: value`. One that begins with a space goes on with the one before it, and is not needed here.
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

/// The Message-ID of the letter that a report is about: it is there whole, or its headers alone (RFC 6522).
fn returned_id(parts: &[Part<'_>]) -> Option<String> {
    let mut letters =
        parts.iter().filter(|part| part.is_message() || part.is("text", "rfc822-headers"));
    letters.find_map(|part| Part::read(&part.contents()).message_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Cause;

    const HEADERS: &str = "Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <letter_1@rocket.example>\r\nSubject: x\r\n";
    const WHOLE: &str = "Content-Type: message/rfc822\r\n\r\nMessage-ID: <letter_1@rocket.example>\r\nSubject: x\r\n\r\ntext\r\n";
    const NOTHING: &str = "Content-Type: text/plain\r\n\r\nnothing";
    const OWN_PATH: &str = "bounces+0193a1b2c3d47e5f8091a2b3c4d5e6f7@rocket.example";
    const LETTER: &str = "letter_0193a1b2c3d47e5f8091a2b3c4d5e6f7";

    /// As Postfix writes it, shortened.
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

    fn only(report: &[u8]) -> (LetterRef, Finding) {
        let mut found = Report::parse(report).unwrap();
        assert_eq!(found.findings.len(), 1);
        (found.letter_ref, found.findings.remove(0))
    }

    #[test]
    fn a_report_names_the_letter_and_says_of_each_address_whether_it_is_for_good() {
        for returned in [HEADERS, WHOLE] {
            let (letter_ref, finding) = only(&bounce("", "failed", "5.1.1", returned));
            assert_eq!(letter_ref.message_ids, ["letter_1@rocket.example"]);
            assert_eq!(finding.addresses, ["jenny@bakery.example"]);
            assert_eq!(
                finding.what,
                FeedbackEvent::Failed { status: "5.1.1".to_owned(), blame: Cause::Address }
            );
        }
        for (action, status) in [("delayed", "4.4.1"), ("delivered", "2.0.0"), ("failed", "4.4.7")]
        {
            let (_, finding) = only(&bounce("", action, status, HEADERS));
            assert_eq!(finding.what, FeedbackEvent::Transient, "{action} {status}");
        }
        let two = "5.7.1\r\n\r\nOriginal-Recipient: rfc822;copy@x.example\r\nFinal-Recipient: rfc822;y@z.example\r\n\
                   Action: delayed\r\nStatus: 4.2.0";
        let found = Report::parse(&bounce("", "failed", two, HEADERS)).unwrap();
        assert_eq!(
            found.findings[0].what,
            FeedbackEvent::Failed { status: "5.7.1".to_owned(), blame: Cause::Letter }
        );
        assert_eq!(found.findings[1].addresses, ["y@z.example", "copy@x.example"]);
    }

    #[test]
    fn a_report_to_the_letters_own_return_path_names_it_without_its_headers() {
        for name in ["To", "Delivered-To", "X-Original-To", "Original-Rcpt-To"] {
            let head = format!("{name}: <{}>\r\n", OWN_PATH.to_uppercase());
            let (letter_ref, _) = only(&bounce(&head, "failed", "5.1.1", NOTHING));
            assert_eq!(
                (letter_ref.letter_ids, letter_ref.message_ids),
                (vec![LETTER.to_owned()], vec![]),
                "{name}"
            );
        }
    }

    #[test]
    fn a_complaint_names_the_letter_by_its_sender_or_by_its_headers() {
        let fields = format!(
            "Feedback-Type: Abuse\r\nUser-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n\
             Original-Mail-From: <{OWN_PATH}>\r\nOriginal-Rcpt-To: <jenny@bakery.example>\r\nSource-IP: 192.0.2.1\r\n"
        );
        let (letter_ref, finding) = only(&complaint(&fields, WHOLE));
        assert_eq!(
            (&letter_ref.letter_ids, &letter_ref.message_ids),
            (&vec![LETTER.to_owned()], &vec!["letter_1@rocket.example".to_owned()],)
        );
        assert_eq!(finding.addresses, ["jenny@bakery.example"]);
        assert_eq!(finding.what, FeedbackEvent::Complaint { kind: "abuse".to_owned() });
        for (kind, what) in [
            ("fraud", FeedbackEvent::Complaint { kind: "fraud".to_owned() }),
            ("virus", FeedbackEvent::Complaint { kind: "virus".to_owned() }),
            ("something-new", FeedbackEvent::Complaint { kind: "something-new".to_owned() }),
            ("not-spam", FeedbackEvent::NotSpam),
            ("auth-failure", FeedbackEvent::Transient),
        ] {
            let (_, finding) =
                only(&complaint(&format!("Feedback-Type: {kind}\r\nVersion: 1\r\n"), HEADERS));
            assert_eq!((finding.addresses.len(), finding.what), (0, what), "{kind}");
        }
    }

    #[test]
    fn the_same_report_has_the_same_fingerprint_whichever_way_it_came() {
        let print = |head: &str| {
            Report::parse(&bounce(head, "failed", "5.1.1", HEADERS)).unwrap().fingerprint
        };
        let id = "Message-ID: <1@mx.example>\r\n";
        assert_eq!(print(id), print(&format!("Delivered-To: x@y.example\r\n{id}")));
        assert_ne!(print(id), print("Message-ID: <2@mx.example>\r\n"));
        assert_ne!(print(""), print("X-Other: 1\r\n"));
    }

    #[test]
    fn what_is_no_report_is_said_to_be_none() {
        assert_eq!(Report::parse(b"Subject: hello\r\n\r\nhello"), Err(NoReport::NotAReport));
        assert_eq!(Report::parse(&bounce("", "failed", "5.1.1", NOTHING)), Err(NoReport::NoLetter));
        assert_eq!(Report::parse(&complaint("Version: 1\r\n", WHOLE)), Err(NoReport::NotAReport));
        assert!(Report::parse(b"").is_err());
    }

    #[test]
    fn what_is_too_large_or_nests_too_deep_is_not_read_however_good_a_report_it_is_otherwise() {
        let bomb = |levels: usize| {
            let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(levels);
            Report::parse(&bounce(
                "",
                "failed",
                "5.1.1",
                &format!("{nested}Message-ID: <1@x>\r\n\r\nx"),
            ))
        };
        let many =
            format!("5.1.1\r\n\r\n{}", "Action: failed\r\nStatus: 5.1.1\r\n\r\n".repeat(20_000));
        let found = Report::parse(&bounce("", "failed", &many, HEADERS)).unwrap();
        assert_eq!(found.findings.len(), MAX_FINDINGS);
        assert_eq!(bomb(parts::MAX_DEPTH).unwrap_err(), NoReport::TooComplex);
        assert_eq!(bomb(25_000).unwrap_err(), NoReport::TooComplex);
        assert_eq!(bomb(3).unwrap_err(), NoReport::NoLetter, "it was read");
        let with = |bytes: usize| {
            let report = bounce("", "failed", "5.1.1", HEADERS);
            let filling = bytes - report.len();
            Report::parse(&[report, vec![b'x'; filling]].concat())
        };
        assert!(with(MAX_BYTES).is_ok());
        assert_eq!(with(MAX_BYTES + 1).unwrap_err(), NoReport::TooLarge);
    }

    #[test]
    fn a_message_id_that_no_letter_can_have_names_none() {
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
        assert_eq!(Report::parse(&report), Err(NoReport::NoLetter));
    }
}
