//! Feedback about letters that were sent: bounces, spam complaints and unsubscriptions. What each
//! means and does; [`crate::web::feedback`] has the HTTP endpoints.
//!
//! ```text
//! message (RFC 3464, RFC 5965) ─┐
//! webhook of a mail provider ───┴─▶ FeedbackReport ─▶ apply ─▶ letter, suppression, opt-out
//! ```
//!
//! | event | effect |
//! |---|---|
//! | permanent failure | the letter is `bounced`; if the address is the cause, it is suppressed |
//! | delay or transient failure | none |
//! | complaint (spam or worse) | the account is opted out |
//! | unsubscription through the provider's own link | the account is opted out |
//! | "not spam" | none |
//!
//! A letter goes to the merchant and to the blind copy; events about the blind copy have no
//! effect. Each report is applied in one transaction, and applying it again changes nothing.
//! `message` parses what mail servers send; [`crate::web::feedback`] parses webhooks and
//! authenticates all senders.

pub mod apply;
mod message;
mod store;

use sha2::{Digest, Sha256};

use crate::mail::{letters_in, send_error};

pub use apply::{AppliedReport, ApplyError, FeedbackOutcome, apply};
pub use message::{MAX_BYTES, ParseReportError};
pub use store::{export, find_last};

/// Everything that one message or webhook event says about one letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackReport {
    pub channel: Channel,
    /// Identifies the report within its channel.
    pub fingerprint: Fingerprint,
    pub letter_ref: LetterRef,
    pub recipients: Vec<RecipientReport>,
}

impl FeedbackReport {
    /// `id` identifies the report within its channel.
    pub fn new(
        channel: Channel,
        id: impl AsRef<[u8]>,
        letter_ref: LetterRef,
        recipients: Vec<RecipientReport>,
    ) -> Self {
        Self { channel, fingerprint: Fingerprint::of(channel, id), letter_ref, recipients }
    }
}

/// The interface through which a report arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Channel {
    /// A message from a mail server.
    Mail,
    /// Amazon SES, through SNS.
    Ses,
    SendGrid,
    Postmark,
}

impl Channel {
    pub const ALL: [Self; 4] = [Self::Mail, Self::Ses, Self::SendGrid, Self::Postmark];

    /// As in `feedback_events.channel`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Detects repeated reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Derived from the channel and the report's id within it.
    pub fn of(channel: Channel, id: impl AsRef<[u8]>) -> Self {
        let hash = Sha256::new().chain_update(channel.as_str()).chain_update([0]);
        Self(hash.chain_update(id).finalize().into())
    }
}

/// References to a letter. Outsiders write them, so values that no letter can have are dropped:
/// Postgres rejects some (a NUL), and the sender would repeat the report for days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterRef {
    /// These take precedence: a relay may replace the Message-ID.
    letter_ids: Vec<String>,
    message_ids: Vec<String>,
}

impl LetterRef {
    pub fn is_empty(&self) -> bool {
        self.letter_ids.is_empty() && self.message_ids.is_empty()
    }

    /// A letter id that the provider returned.
    pub fn add_letter(&mut self, letter_id: &str) {
        self.letter_ids.extend(valid_id(letter_id));
    }

    /// Text that may contain the letter's return path.
    pub fn add_addresses(&mut self, text: &str) {
        self.letter_ids.extend(letters_in(text));
    }

    /// With or without angle brackets.
    pub fn add_message_id(&mut self, text: &str) {
        let id = text.trim().trim_start_matches('<').trim_end_matches('>');
        self.message_ids.extend(valid_id(id));
    }
}

/// The id, if a letter can have it. A line of a message has at most 998 characters (RFC 5322
/// section 2.1.1).
fn valid_id(id: &str) -> Option<String> {
    let is_odd = |c: char| c.is_control() || c.is_whitespace();
    ((1..=998).contains(&id.len()) && !id.contains(is_odd)).then(|| id.to_owned())
}

/// The longest registered type, `auth-failure`, has 12.
const MAX_KIND_CHARS: usize = 40;

/// What a report says about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientReport {
    /// The address in the report, and the one in the letter's envelope if it was forwarded.
    pub addresses: Vec<String>,
    pub event: FeedbackEvent,
}

/// What happened to a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedbackEvent {
    /// Permanent failure.
    Failed {
        /// The enhanced status code, such as `5.1.1`.
        status: String,
        cause: Cause,
    },
    /// Delayed, failed temporarily, or delivered after all.
    Transient,
    /// Reported as spam or worse.
    Complaint {
        /// `abuse`, `fraud`, … (RFC 5965 section 7.3).
        kind: String,
    },
    /// Reported as not spam.
    NotSpam,
    /// Unsubscribed through the provider's own link.
    Unsubscribed,
}

/// What caused a permanent failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The address: no letter can arrive there.
    Address,
    /// This letter, or the sender's reputation.
    Letter,
}

impl FeedbackEvent {
    /// A permanent failure with the first status code in `text`, which also tells the cause if the
    /// provider does not.
    pub fn failed(text: Option<&str>, cause: Option<Cause>) -> Self {
        let status = status_code(text.unwrap_or_default());
        let cause = cause.unwrap_or_else(|| {
            if send_error::blames_address(&status) { Cause::Address } else { Cause::Letter }
        });
        Self::Failed { status, cause }
    }

    /// Reported as spam, without a more specific type.
    pub fn spam() -> Self {
        Self::Complaint { kind: "abuse".to_owned() }
    }

    /// Maps a feedback type (RFC 5965 section 7.3). Unknown types count as complaints, like
    /// `other`.
    pub fn from_feedback_type(kind: &str) -> Self {
        let letters = kind.chars().map(|c| c.to_ascii_lowercase());
        let kind: String =
            letters.filter(|c| c.is_ascii_lowercase() || *c == '-').take(MAX_KIND_CHARS).collect();
        match kind.as_str() {
            "not-spam" => Self::NotSpam,
            // Reports about DKIM and SPF (RFC 6591) are not complaints.
            "auth-failure" | "dmarc" => Self::Transient,
            _ => Self::Complaint { kind },
        }
    }
}

/// The first status code in a text that may continue with words and addresses; 5.0.0 ("other") if
/// there is none.
fn status_code(text: &str) -> String {
    let (class, subject, detail) = send_error::enhanced_codes(text).next().unwrap_or((5, 0, 0));
    format!("{class}.{subject}.{detail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_status_code_is_stored() {
        for (text, code) in [
            ("5.1.1", "5.1.1"),
            ("5.1.10 (unknown jenny@bakery.example)", "5.1.10"),
            ("smtp; 550 5.2.1 disabled", "5.2.1"),
            ("550 jenny@10.1.2.3 unknown", "5.0.0"),
            ("", "5.0.0"),
        ] {
            assert_eq!(status_code(text), code, "{text}");
        }
        assert_eq!(
            FeedbackEvent::from_feedback_type("Abuse <x@y>"),
            FeedbackEvent::Complaint { kind: "abusexy".to_owned() }
        );
    }
}
