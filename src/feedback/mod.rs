//! FeedbackEvent others tell about letters that were sent: they came back, or somebody called them spam.
//!
//! ```text
//! a mail server's report (RFC 3464, RFC 5965) ─┐
//! a mail sender's webhook ─────────────────────┴─▶ Report ─▶ take ─▶ letter, address, opt-out
//! ```
//!
//! | what is told | what follows |
//! |---|---|
//! | it will not arrive | the letter is `bounced`; if the address is to blame, no further letter goes there |
//! | it is late, or did not arrive this time | nothing |
//! | it was called spam, or worse | the account gets no more letters |
//! | whoever got it wants no more, said by the sender's own link | the same |
//! | it is not spam | nothing |
//!
//! A letter has two recipients, the merchant and the blind copy: what is told of the copy changes nothing. Each report is taken in one
//! transaction, and the same report a second time changes nothing. `message` reads what mail servers send; webhooks are read in
//! [`crate::web::feedback`], whose business it is who may tell such things.

pub mod apply;
mod message;
mod parts;
mod store;

use sha2::{Digest, Sha256};

use crate::mail::letters_in;
use crate::mail::send_error;

pub use apply::{Applied, ApplyError, FeedbackOutcome, apply};
pub use message::{MAX_BYTES, NoReport};
pub use store::last;

/// FeedbackEvent somebody tells about a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// By which way it came.
    pub channel: Channel,
    /// FeedbackEvent sets it apart from all others that came by this way.
    pub fingerprint: Fingerprint,
    /// Which letter it is about.
    pub letter_ref: LetterRef,
    /// FeedbackEvent it says, of one recipient or of several.
    pub findings: Vec<Finding>,
}

/// By which way a report came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Channel {
    /// As a message, from a mail server.
    Mail,
    /// From Amazon SES, through SNS.
    Ses,
    /// From Twilio SendGrid.
    SendGrid,
    /// From Postmark.
    Postmark,
}

impl Channel {
    /// As in `feedback_events.channel`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Sets one report apart from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a report that came by this way and has this id there.
    pub fn of(channel: Channel, id: impl AsRef<[u8]>) -> Self {
        Self(
            Sha256::new()
                .chain_update(channel.as_str())
                .chain_update([0])
                .chain_update(id)
                .finalize()
                .into(),
        )
    }
}

/// FeedbackEvent may name the letter that a report is about. Others write it, so what no letter of ours can be
/// called is left out: the database refuses some of it (a NUL), and the sender would repeat the report
/// for days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterRef {
    /// Ids of letters. They come first: a Message-ID can be changed on the way.
    letter_ids: Vec<String>,
    /// Without their angle brackets.
    message_ids: Vec<String>,
}

impl LetterRef {
    /// Whether nothing names a letter.
    pub fn is_empty(&self) -> bool {
        self.letter_ids.is_empty() && self.message_ids.is_empty()
    }

    /// An id of ours that the sender gave back.
    pub fn add_letter(&mut self, letter_id: &str) {
        self.letter_ids.extend(Some(letter_id).filter(|id| is_name(id)).map(str::to_owned));
    }

    /// Addresses, among which the letter's own return path may be.
    pub fn add_addresses(&mut self, text: &str) {
        self.letter_ids.extend(letters_in(text));
    }

    /// A Message-ID, with or without its angle brackets.
    pub fn add_message_id(&mut self, text: &str) {
        let id = text.trim().trim_start_matches('<').trim_end_matches('>');
        self.message_ids.extend(Some(id).filter(|id| is_name(id)).map(str::to_owned));
    }
}

/// Could a letter be called this? A line of an email has 998 characters at most
/// (RFC 5322 section 2.1.1).
fn is_name(id: &str) -> bool {
    (1..=998).contains(&id.len()) && !id.contains(|c: char| c.is_control() || c.is_whitespace())
}

/// The longest that is registered, `auth-failure`, has 12.
const MAX_KIND_CHARS: usize = 40;

/// FeedbackEvent a report says of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// As the report names it; and as the letter's envelope did, where it was forwarded.
    pub addresses: Vec<String>,
    /// FeedbackEvent became of the letter there.
    pub what: FeedbackEvent,
}

/// FeedbackEvent became of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedbackEvent {
    /// It will not arrive.
    Failed {
        /// The enhanced status code, such as `5.1.1`.
        status: String,
        /// Whose fault that is.
        blame: Cause,
    },
    /// It is late, or did not arrive this time, or did after all.
    Transient,
    /// It was called spam, or worse.
    Complaint {
        /// `abuse`, `fraud`, … (RFC 5965 section 7.3).
        kind: String,
    },
    /// It was said not to be spam.
    NotSpam,
    /// By the sender's own link.
    Unsubscribed,
}

/// Whose fault it is that a letter will not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The address's: no letter will arrive there.
    Address,
    /// This letter's, or its sender's reputation's.
    Letter,
}

impl FeedbackEvent {
    /// A letter that will not arrive, with the status code that was told. Whose fault it is stands in the code.
    pub fn failed(status: &str) -> Self {
        let status = status_code(status);
        let blame =
            if send_error::speaks_of_the_address(&status) { Cause::Address } else { Cause::Letter };
        Self::Failed { status, blame }
    }

    /// The same, where the sender knows better than the code whose fault it is.
    #[must_use]
    pub fn blaming(self, whom: Cause) -> Self {
        match self {
            Self::Failed { status, .. } => Self::Failed { status, blame: whom },
            other @ (Self::Transient
            | Self::Complaint { .. }
            | Self::NotSpam
            | Self::Unsubscribed) => other,
        }
    }

    /// FeedbackEvent a kind of feedback says (RFC 5965 section 7.3). One that is not known yet is somebody's displeasure, as `other` is.
    pub fn told(kind: &str) -> Self {
        let letters = kind.chars().map(|c| c.to_ascii_lowercase());
        let kind: String =
            letters.filter(|c| c.is_ascii_lowercase() || *c == '-').take(MAX_KIND_CHARS).collect();
        match kind.as_str() {
            "not-spam" => Self::NotSpam,
            // About DKIM and SPF (RFC 6591): nobody complained.
            "auth-failure" | "dmarc" => Self::Transient,
            _ => Self::Complaint { kind },
        }
    }
}

/// The first status code in what was told, for it may go on in words and addresses; 5.0.0, "other", where there is none.
fn status_code(told: &str) -> String {
    let is_code = |word: &&str| {
        let numbers: Vec<&str> = word.split('.').collect();
        let is_number =
            |text: &&str| (1..=3).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        numbers.len() == 3 && numbers.iter().all(is_number)
    };
    let mut words = told.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    words.find(is_code).unwrap_or("5.0.0").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_code_is_kept_of_what_is_told() {
        for (told, code) in [
            ("5.1.1", "5.1.1"),
            ("5.1.10 (unknown jenny@bakery.example)", "5.1.10"),
            ("smtp; 550 5.2.1 disabled", "5.2.1"),
            ("550 jenny@10.1.2.3 unknown", "5.0.0"),
            ("", "5.0.0"),
        ] {
            assert_eq!(status_code(told), code, "{told}");
        }
        assert_eq!(
            FeedbackEvent::told("Abuse <x@y>"),
            FeedbackEvent::Complaint { kind: "abusexy".to_owned() }
        );
    }
}
