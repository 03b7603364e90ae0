//! Letters that came back: a delivery-status notification (RFC 3464) says which, and whether for good.

use chrono::{DateTime, Utc};
use mail_parser::{Message, MessageParser, MimeHeaders};
use sqlx::PgConnection;

use super::moves;
use super::store::{self, Move, State};

/// What a report says about one of our letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of the letter that came back, without its angle brackets.
    pub message_id: String,
    /// One for each address that the report speaks of: a letter has a blind copy too.
    pub outcomes: Vec<Outcome>,
}

/// What became of a letter to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// As the report names it; and as the letter's envelope did, where it was forwarded.
    pub addresses: Vec<String>,
    /// `failed`, `delayed`, `delivered`, … (RFC 3464 section 2.3.3), in lower case.
    pub action: String,
    /// The enhanced status code, such as `5.1.1`.
    pub status: String,
}

/// Why a message says nothing about a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReport {
    /// It cannot be read as a message.
    #[error("not an email message")]
    NotAMessage,
    /// It has no part `message/delivery-status` with an action and a status.
    #[error("not a delivery report (RFC 3464): there is no `message/delivery-status` in it")]
    NotAReport,
    /// The letter that it is about is not named.
    #[error(
        "the report does not carry the headers of the letter that came back, so nobody knows which it was"
    )]
    NoMessageId,
}

/// What a report did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounced {
    /// The letter is `bounced` now.
    Yes,
    /// Only late, or delivered after all: nothing changes.
    NotForGood,
    /// It is about somebody else who had the letter, such as the blind copy: nothing changes.
    SomebodyElse,
    /// No letter of ours that was sent has this Message-ID, or it is known to have come back.
    NoSuchLetter,
}

impl Report {
    /// Reads a report as a mail server sends it.
    pub fn parse(message: &[u8]) -> Result<Self, NoReport> {
        let message = MessageParser::default().parse(message).ok_or(NoReport::NotAMessage)?;
        let status = message
            .parts
            .iter()
            .find(|part| part.is_content_type("message", "delivery-status"))
            .and_then(|part| std::str::from_utf8(part.contents()).ok())
            .ok_or(NoReport::NotAReport)?;
        let outcomes: Vec<Outcome> = blocks(status).iter().filter_map(|block| Outcome::read(block)).collect();
        if outcomes.is_empty() {
            return Err(NoReport::NotAReport);
        }
        let message_id = returned_id(&message).ok_or(NoReport::NoMessageId)?;
        Ok(Self { message_id, outcomes })
    }
}

impl Outcome {
    /// Reads the fields about one address; none where they are about the message as a whole.
    fn read(block: &[&str]) -> Option<Self> {
        let field = |name: &str| {
            let line = block.iter().find(|line| line.to_lowercase().starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        // `rfc822; jenny@bakery.example`
        let address = |name: &str| Some(field(name)?.split_once(';')?.1.trim().to_owned());
        let addresses = [address("final-recipient:"), address("original-recipient:")];
        Some(Self {
            addresses: addresses.into_iter().flatten().collect(),
            action: field("action:")?.to_lowercase(),
            status: field("status:")?,
        })
    }

    /// Whether the letter will not arrive any more: RFC 3463 calls class 5 permanent.
    fn is_for_good(&self) -> bool {
        self.action == "failed" && self.status.starts_with('5')
    }
}

/// Groups of lines between empty ones (RFC 3464 section 2.1).
fn blocks(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.split(|line| line.is_empty()).map(<[&str]>::to_vec).collect()
}

/// The Message-ID of the letter that came back: whole, or its headers alone (RFC 6522).
fn returned_id(report: &Message<'_>) -> Option<String> {
    report.parts.iter().find_map(|part| {
        let inner = if part.is_content_type("text", "rfc822-headers") {
            MessageParser::default().parse_headers(part.contents())
        } else {
            part.message().cloned()
        };
        inner?.message_id().map(str::to_owned)
    })
}

/// Takes a report in, in the caller's transaction: a letter that was sent and came back for good is `bounced`.
pub async fn bounce(tx: &mut PgConnection, report: &Report, now: DateTime<Utc>) -> sqlx::Result<Bounced> {
    let letter = store::find_by_message_id(&mut *tx, &report.message_id).await?;
    let Some(letter) = letter.filter(|letter| letter.state == State::Sent) else {
        return Ok(Bounced::NoSuchLetter);
    };
    let recipient = letter.recipient.clone().unwrap_or_default();
    let is_about =
        |outcome: &&Outcome| outcome.addresses.iter().any(|address| address.eq_ignore_ascii_case(&recipient));
    let Some(outcome) = report.outcomes.iter().find(is_about) else { return Ok(Bounced::SomebodyElse) };
    if !outcome.is_for_good() {
        return Ok(Bounced::NotForGood);
    }
    let reason = format!("status {}", outcome.status);
    let bounced = Move { from: State::Sent, to: State::Bounced, reason: Some(&reason), relay_answer: None };
    moves::shift(tx, &letter, &bounced, now).await?;
    tracing::warn!(letter.message_id = letter.message_id, status = outcome.status, "letter came back");
    Ok(Bounced::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Postfix writes it, shortened.
    fn report(action: &str, status: &str, returned: &str) -> String {
        format!(
            "From: MAILER-DAEMON@mx.example (Mail Delivery System)\r\n\
             Subject: Undelivered Mail Returned to Sender\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nI'm sorry to have to inform you.\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; mx.example\r\n\r\n\
             Final-Recipient: rfc822; jenny@bakery.example\r\n\
             Action: {action}\r\nDiagnostic-Code: smtp; 550 unknown\r\nStatus: {status}\r\n\
             --b\r\n{returned}\r\n--b--\r\n"
        )
    }

    const HEADERS: &str =
        "Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <letter_1@rocket.example>\r\nSubject: x\r\n";
    const WHOLE: &str = "Content-Type: message/rfc822\r\n\r\nMessage-ID: <letter_1@rocket.example>\r\nSubject: x\r\n\r\ntext\r\n";

    #[test]
    fn a_report_names_the_letter_and_says_of_each_address_whether_it_is_for_good() {
        for returned in [HEADERS, WHOLE] {
            let found = Report::parse(report("failed", "5.1.1", returned).as_bytes()).unwrap();
            assert_eq!((found.message_id.as_str(), found.outcomes.len()), ("letter_1@rocket.example", 1));
            assert_eq!(found.outcomes[0].addresses, ["jenny@bakery.example"]);
            assert!(found.outcomes[0].is_for_good());
        }
        for (action, status) in [("delayed", "4.4.1"), ("delivered", "2.0.0"), ("failed", "4.4.7")] {
            let found = Report::parse(report(action, status, HEADERS).as_bytes()).unwrap();
            assert!(!found.outcomes[0].is_for_good(), "{action} {status}");
        }
        let two = "5.1.1\r\n\r\nOriginal-Recipient: rfc822;copy@x.example\r\nFinal-Recipient: rfc822;y@z.example\r\n\
                   Action: delayed\r\nStatus: 4.2.0";
        let found = Report::parse(report("failed", two, HEADERS).as_bytes()).unwrap();
        assert_eq!(found.outcomes.len(), 2);
        assert_eq!(found.outcomes[1].addresses, ["y@z.example", "copy@x.example"]);
    }

    #[test]
    fn what_is_no_report_is_said_to_be_none() {
        assert_eq!(Report::parse(b"Subject: hello\r\n\r\nhello"), Err(NoReport::NotAReport));
        let nameless = report("failed", "5.1.1", "Content-Type: text/plain\r\n\r\nnothing");
        assert_eq!(Report::parse(nameless.as_bytes()), Err(NoReport::NoMessageId));
        assert!(Report::parse(b"").is_err());
    }
}
