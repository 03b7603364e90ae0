//! Classifies a relay's refusal by the protocol step, the reply code (RFC 5321 section 4.2) and the
//! enhanced status code (RFC 3463), if there is one. Pure functions.

use crate::queue::{Next, Retryable};

/// Why the relay did not accept a message, or did not confirm it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SendError {
    /// No session was established, or it ended before the message was complete. Not sent; says
    /// nothing about the letter.
    #[error("cannot reach the relay: {0}")]
    Unreachable(String),
    /// The relay rejects this client: login, sender, or the address of the blind copy. Not sent;
    /// affects every letter alike.
    #[error("the relay rejects this client: {0}")]
    RelayRefused(String),
    /// A 4xx reply. Not sent.
    #[error("the relay deferred the letter: {0}")]
    Deferred(String),
    /// A 4xx reply that reports a rate limit. Not sent; other letters on the same path would be
    /// refused too.
    #[error("a rate limit was exceeded: {0}")]
    Throttled(String),
    /// A 5xx reply about the recipient's address. Not sent; final.
    #[error("the relay refused the address: {0}")]
    AddressRefused(String),
    /// Any other 5xx reply. Not sent; final.
    #[error("the relay refused the letter: {0}")]
    LetterRefused(String),
    /// The session ended after the final dot was written: the relay may have accepted the message.
    #[error("no valid reply after the final dot, so the letter may have been sent: {0}")]
    Unknown(String),
}

/// The command that a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The greeting, `EHLO`, `STARTTLS`, `AUTH`.
    Greeting,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO` with the merchant's address.
    Recipient,
    /// `RCPT TO` with the address of the blind copy.
    Copy,
    /// `DATA`, and the final dot.
    Message,
}

/// A wrong setting affects every letter, and an operator needs minutes to correct it.
const RELAY_REFUSED_DELAY: std::time::Duration = std::time::Duration::from_mins(5);

/// Rate limits are usually per minute. The pause of the receiving domain may be longer.
const THROTTLED_DELAY: std::time::Duration = std::time::Duration::from_mins(1);

impl Retryable for SendError {
    fn next(&self) -> Next {
        match self {
            Self::Unreachable(_) | Self::Deferred(_) => Next::TryAgain,
            Self::Throttled(_) => Next::TryAgainIn(THROTTLED_DELAY),
            Self::RelayRefused(_) => Next::Postpone(RELAY_REFUSED_DELAY),
            // Whether to retry after an unknown outcome is the operator's policy, not a property of
            // the error.
            Self::AddressRefused(_) | Self::LetterRefused(_) | Self::Unknown(_) => Next::GiveUp,
        }
    }
}

impl SendError {
    /// The same variant with its text replaced.
    #[must_use]
    pub fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Unreachable(text) => Self::Unreachable(change(text)),
            Self::RelayRefused(text) => Self::RelayRefused(change(text)),
            Self::Deferred(text) => Self::Deferred(change(text)),
            Self::Throttled(text) => Self::Throttled(change(text)),
            Self::AddressRefused(text) => Self::AddressRefused(change(text)),
            Self::LetterRefused(text) => Self::LetterRefused(change(text)),
            Self::Unknown(text) => Self::Unknown(change(text)),
        }
    }
}

/// Classifies a refusal. `text` is the reply as the relay sent it.
///
/// - 4xx: deferred. X.7.X (policy), at a step about the letter, reports a rate limit: 421 4.7.28,
///   450 4.7.1, 451 4.7.650; Amazon SES replies 454 after the message. Any other 421 announces that
///   the relay closes the connection.
/// - 5xx before any recipient, about authentication (530, 534, 535, 538) or about the blind copy:
///   the relay rejects us, not the letter.
/// - 5xx for an exhausted daily quota is not about the letter either: X.4.5 (Google's relay),
///   X.1.90 (Exchange Online).
/// - 552 to a recipient once meant "too many recipients" and must be treated as 452 (RFC 5321
///   section 4.5.3.1.10).
/// - 5xx to the recipient: the address, unless the enhanced code is about policy (X.7.X), the
///   message (X.6.X) or the system (X.3.X).
/// - Any other 5xx: the letter, unless the enhanced code is about the address (X.1.X, X.2.1).
pub fn classify_refusal(step: Step, code: u16, text: String) -> SendError {
    let (subject, detail) = enhanced(code, &text).unwrap_or_default();
    match (code, step) {
        (421 | 450 | 451, Step::Recipient | Step::Message) | (450 | 451, Step::Sender)
            if subject == 7 =>
        {
            SendError::Throttled(text)
        }
        (454, Step::Message) => SendError::Throttled(text),
        (421, _) => SendError::Unreachable(text),
        (530 | 534 | 535 | 538, _) | (500..=599, Step::Greeting | Step::Copy) => {
            SendError::RelayRefused(text)
        }
        (500..=599, _) if matches!((subject, detail), (4, 5) | (1, 90)) => {
            SendError::RelayRefused(text)
        }
        (552, Step::Recipient) => SendError::Deferred(text),
        (500..=599, Step::Recipient) if matches!(subject, 3 | 6 | 7) => {
            SendError::LetterRefused(text)
        }
        (500..=599, Step::Recipient) => SendError::AddressRefused(text),
        // X.1.7 and X.1.8 are about the sender's address.
        (500..=599, Step::Message)
            if (subject == 1 && !matches!(detail, 7 | 8)) || (subject, detail) == (2, 1) =>
        {
            SendError::AddressRefused(text)
        }
        (500..=599, Step::Sender | Step::Message) => SendError::LetterRefused(text),
        _ => SendError::Deferred(text),
    }
}

/// The enhanced status code in a permanent refusal; 5.0.0 ("other") if the text has none.
pub fn enhanced_status(text: &str) -> String {
    let (subject, detail) = enhanced(500, text).unwrap_or_default();
    format!("5.{subject}.{detail}")
}

/// Whether a permanent failure with this enhanced status code means that the address is
/// undeliverable. True, except where the code is about the message, policy or a system (X.3.X,
/// X.5.X to X.7.X), the sender's address (X.1.7, X.1.8), a mailbox that is full or has a size limit
/// (X.2.2, X.2.3), or an expired delivery time (X.4.7): such an address may accept the next letter.
pub fn blames_address(status: &str) -> bool {
    let (subject, detail) = enhanced(500, status).unwrap_or_default();
    match subject {
        1 => !matches!(detail, 7 | 8),
        2 => !matches!(detail, 2 | 3),
        4 => detail != 7,
        0 => true,
        _ => false,
    }
}

/// The enhanced status codes in a text (RFC 3463 section 2), as class, subject and detail. Skips
/// version numbers and IP addresses.
pub fn enhanced_codes(text: &str) -> impl Iterator<Item = (u16, u16, u16)> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.')).filter_map(|word| {
        let mut numbers = word
            .split('.')
            .map(|number| (number.len() <= 3).then(|| number.parse::<u16>().ok())?);
        let code = (numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(code)
    })
}

/// Subject and detail of the first enhanced status code of the reply's class: 5.1.2 is (1, 2).
fn enhanced(code: u16, text: &str) -> Option<(u16, u16)> {
    let (_, subject, detail) = enhanced_codes(text).find(|(class, ..)| *class == code / 100)?;
    Some((subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_reply_code_and_enhanced_code_decide_the_variant() {
        use SendError::{
            AddressRefused, Deferred, LetterRefused, RelayRefused, Throttled, Unreachable,
        };
        type Variant = fn(String) -> SendError;
        let cases: &[(Step, u16, &str, Variant)] = &[
            (Step::Greeting, 554, "5.3.2 not here", RelayRefused),
            (Step::Greeting, 535, "5.7.8 wrong password", RelayRefused),
            (Step::Greeting, 421, "4.3.2 going down", Unreachable),
            (Step::Sender, 530, "5.7.0 authentication required", RelayRefused),
            (Step::Sender, 550, "5.7.1 sender not allowed", LetterRefused),
            (Step::Sender, 452, "4.3.1 no room", Deferred),
            (Step::Recipient, 550, "5.1.1 unknown", AddressRefused),
            (Step::Recipient, 550, "no such user here", AddressRefused),
            (Step::Recipient, 550, "5.2.1 mailbox disabled", AddressRefused),
            (Step::Recipient, 550, "5.7.1 blocked by policy", LetterRefused),
            (Step::Recipient, 552, "too many recipients", Deferred),
            (Step::Recipient, 450, "4.2.1 greylisted", Deferred),
            (Step::Copy, 550, "5.1.1 unknown", RelayRefused),
            (Step::Copy, 451, "4.3.0 later", Deferred),
            (Step::Message, 554, "5.7.1 looks like spam", LetterRefused),
            (Step::Message, 550, "5.1.1 unknown after all", AddressRefused),
            (Step::Message, 550, "5.1.8 the sender's domain is bad", LetterRefused),
            (Step::Message, 550, "5.2.1 disabled", AddressRefused),
            (Step::Message, 550, "5.4.5 Daily SMTP relay limit exceeded for user", RelayRefused),
            (Step::Recipient, 550, "5.1.90 the daily limit for message recipients", RelayRefused),
            (Step::Message, 552, "5.3.4 too big", LetterRefused),
            (Step::Message, 552, "5.2.2 mailbox full", LetterRefused),
            (Step::Message, 451, "4.7.1 try again", Throttled),
            (Step::Message, 451, "4.3.0 try again", Deferred),
            (Step::Message, 454, "Throttling failure: Maximum sending rate exceeded.", Throttled),
            (Step::Message, 421, "4.3.2 going down", Unreachable),
            (Step::Recipient, 421, "4.7.28 an unusual rate of mail", Throttled),
            (Step::Recipient, 450, "4.7.1 too many connections", Throttled),
            (Step::Recipient, 454, "4.7.1 relay access denied", Deferred),
            (Step::Sender, 451, "4.7.1 too much mail", Throttled),
            (Step::Sender, 421, "4.7.0 closing", Unreachable),
            (Step::Copy, 450, "4.7.1 greylisted", Deferred),
        ];
        for (step, code, text, variant) in cases {
            assert_eq!(
                classify_refusal(*step, *code, (*text).to_owned()),
                variant((*text).to_owned()),
                "{step:?} {code}"
            );
        }
    }

    #[test]
    fn some_status_codes_do_not_blame_the_address() {
        for status in
            ["5.0.0", "5.1.1", "5.1.2", "5.1.10", "5.2.0", "5.2.1", "5.4.1", "5.4.4", "5", ""]
        {
            assert!(blames_address(status), "{status}");
        }
        for status in [
            "5.1.7", "5.1.8", "5.2.2", "5.2.3", "5.3.4", "5.4.7", "5.5.0", "5.6.1", "5.7.1",
            "5.7.26",
        ] {
            assert!(!blames_address(status), "{status}");
        }
        assert_eq!(enhanced_status("550 5.1.1 unknown"), "5.1.1");
        assert_eq!(enhanced_status("550 no such user"), "5.0.0");
    }

    #[test]
    fn enhanced_codes_are_found_only_in_their_class() {
        for (code, text, found) in [
            (550, "550 5.1.1 <j@x.example> unknown", Some((1, 1))),
            (550, "5.7.26 unauthenticated", Some((7, 26))),
            (550, "host 10.5.1.1 says no", None),
            (550, "4.2.1 of another class", None),
            (550, "version 5.1", None),
            (550, "", None),
        ] {
            assert_eq!(enhanced(code, text), found, "{text}");
        }
    }
}
