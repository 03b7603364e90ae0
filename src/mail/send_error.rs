//! What a relay's refusal means for a letter: a pure function of where in the talk it came, its code (RFC 5321 section 4.2) and its
//! enhanced code (RFC 3463), where it has one.

use crate::queue::{Next, Retryable};

/// Why a message was not, or perhaps not, taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No talk came about, or it ended before the message was handed over. Not sent, and no fault of the letter's.
    #[error("cannot reach the relay: {0}")]
    Unreachable(String),
    /// The relay will not work for us: login, sender, the copy's address. Not sent, and the same for every letter.
    #[error("the relay does not serve us: {0}")]
    NotServed(String),
    /// A 4xx: not now. Not sent.
    #[error("the relay said later: {0}")]
    Deferred(String),
    /// A 4xx that speaks of how much we send: not now, and no other letter that way either. Not sent.
    #[error("too many letters for now: {0}")]
    TooFast(String),
    /// A 5xx about the recipient's address. Not sent, and will not be.
    #[error("the relay refused the address: {0}")]
    AddressRefused(String),
    /// Another 5xx. Not sent, and will not be.
    #[error("the relay refused the letter: {0}")]
    LetterRefused(String),
    /// The final dot was on its way when the talk ended: the relay may have taken the message.
    #[error("the relay gave no answer after it had the letter: {0}")]
    Unknown(String),
}

/// A step of the talk that the relay answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The greeting, `EHLO`, `STARTTLS`, `AUTH`.
    Greeting,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO` with the merchant's address.
    Recipient,
    /// `RCPT TO` with the blind copy's.
    Copy,
    /// `DATA`, and the final dot.
    Message,
}

/// A wrong setting is wrong for every letter. People need minutes to put it right.
const WHILE_NOT_SERVED: std::time::Duration = std::time::Duration::from_mins(5);

/// Rate limits are counted by the minute. The domain's lane may be closed for longer.
const WHILE_TOO_FAST: std::time::Duration = std::time::Duration::from_mins(1);

impl Retryable for SendError {
    fn next(&self) -> Next {
        match self {
            Self::Unreachable(_) | Self::Deferred(_) => Next::TryAgain,
            Self::TooFast(_) => Next::TryAgainIn(WHILE_TOO_FAST),
            Self::NotServed(_) => Next::Postpone(WHILE_NOT_SERVED),
            // Whether an unknown outcome is tried again is the operator's policy, not the error's.
            Self::AddressRefused(_) | Self::LetterRefused(_) | Self::Unknown(_) => Next::GiveUp,
        }
    }
}

impl SendError {
    /// The same with another text.
    #[must_use]
    pub fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Unreachable(text) => Self::Unreachable(change(text)),
            Self::NotServed(text) => Self::NotServed(change(text)),
            Self::Deferred(text) => Self::Deferred(change(text)),
            Self::TooFast(text) => Self::TooFast(change(text)),
            Self::AddressRefused(text) => Self::AddressRefused(change(text)),
            Self::LetterRefused(text) => Self::LetterRefused(change(text)),
            Self::Unknown(text) => Self::Unknown(change(text)),
        }
    }
}

/// Reads a refusal with a code; `text` is what the relay said.
///
/// - 4xx: later. X.7.X (policy), at a step that is about the letter, is how receivers say that they get too much: 421 4.7.28, 450 4.7.1,
///   451 4.7.650; Amazon SES says 454 after the message. Any other 421 says that the relay is about to hang up, which is no fault of
///   the letter's.
/// - 5xx before there is a recipient at the greeting, about the login (530, 534, 535, 538) or the copy: about us, not the letter.
/// - 5xx that says that the day's letters are out, which is no letter's fault either: X.4.5 (Google's relay), X.1.90 (Exchange Online).
/// - 552 to a recipient once meant "too many" and is to be taken as 452 (RFC 5321 section 4.5.3.1.10).
/// - 5xx to the recipient: the address, unless the enhanced code speaks of policy (X.7.X), the message (X.6.X) or the system (X.3.X).
/// - Any other 5xx: the letter, unless the enhanced code speaks of the address (X.1.X, X.2.1).
pub fn refusal(step: Step, code: u16, text: String) -> SendError {
    let (subject, detail) = enhanced(code, &text).unwrap_or_default();
    match (code, step) {
        (421 | 450 | 451, Step::Recipient | Step::Message) | (450 | 451, Step::Sender)
            if subject == 7 =>
        {
            SendError::TooFast(text)
        }
        (454, Step::Message) => SendError::TooFast(text),
        (421, _) => SendError::Unreachable(text),
        (530 | 534 | 535 | 538, _) | (500..=599, Step::Greeting | Step::Copy) => {
            SendError::NotServed(text)
        }
        (500..=599, _) if matches!((subject, detail), (4, 5) | (1, 90)) => {
            SendError::NotServed(text)
        }
        (552, Step::Recipient) => SendError::Deferred(text),
        (500..=599, Step::Recipient) if matches!(subject, 3 | 6 | 7) => {
            SendError::LetterRefused(text)
        }
        (500..=599, Step::Recipient) => SendError::AddressRefused(text),
        // X.1.7 and X.1.8 speak of the sender's address.
        (500..=599, Step::Message)
            if (subject == 1 && !matches!(detail, 7 | 8)) || (subject, detail) == (2, 1) =>
        {
            SendError::AddressRefused(text)
        }
        (500..=599, Step::Sender | Step::Message) => SendError::LetterRefused(text),
        _ => SendError::Deferred(text),
    }
}

/// The enhanced code of a refusal for good, as the relay said it; 5.0.0, "other", where it said none.
pub fn status_in(text: &str) -> String {
    let (subject, detail) = enhanced(500, text).unwrap_or_default();
    format!("5.{subject}.{detail}")
}

/// Whether a letter that came back with this enhanced code shows that its address is none: as a rule, yes. Not where the code speaks
/// of the message, of policy or of a system (X.3.X, X.5.X to X.7.X), of the sender's address (X.1.7, X.1.8), of a mailbox that is full
/// or wants smaller letters (X.2.2, X.2.3), or of the time that it took (X.4.7): such an address may take the next letter.
pub fn speaks_of_the_address(status: &str) -> bool {
    let (subject, detail) = enhanced(500, status).unwrap_or_default();
    match subject {
        1 => !matches!(detail, 7 | 8),
        2 => !matches!(detail, 2 | 3),
        4 => detail != 7,
        0 => true,
        _ => false,
    }
}

/// Subject and detail of an enhanced status code of the same class as the reply's (RFC 3463 section 2): 5.1.2 is (1, 2).
fn enhanced(code: u16, text: &str) -> Option<(u16, u16)> {
    let class = code / 100;
    text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find_map(|word| {
        let mut numbers = word
            .split('.')
            .map(|number| (number.len() <= 3).then(|| number.parse::<u16>().ok())?);
        let found = (numbers.next()??, numbers.next()??, numbers.next()??);
        (found.0 == class && numbers.next().is_none()).then_some((found.1, found.2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_enhanced_code_decide_at_each_step() {
        use SendError::{AddressRefused, Deferred, LetterRefused, NotServed, TooFast, Unreachable};
        type Kind = fn(String) -> SendError;
        let cases: &[(Step, u16, &str, Kind)] = &[
            (Step::Greeting, 554, "5.3.2 not here", NotServed),
            (Step::Greeting, 535, "5.7.8 wrong password", NotServed),
            (Step::Greeting, 421, "4.3.2 going down", Unreachable),
            (Step::Sender, 530, "5.7.0 authentication required", NotServed),
            (Step::Sender, 550, "5.7.1 sender not allowed", LetterRefused),
            (Step::Sender, 452, "4.3.1 no room", Deferred),
            (Step::Recipient, 550, "5.1.1 unknown", AddressRefused),
            (Step::Recipient, 550, "no such user here", AddressRefused),
            (Step::Recipient, 550, "5.2.1 mailbox disabled", AddressRefused),
            (Step::Recipient, 550, "5.7.1 blocked by policy", LetterRefused),
            (Step::Recipient, 552, "too many recipients", Deferred),
            (Step::Recipient, 450, "4.2.1 greylisted", Deferred),
            (Step::Copy, 550, "5.1.1 unknown", NotServed),
            (Step::Copy, 451, "4.3.0 later", Deferred),
            (Step::Message, 554, "5.7.1 looks like spam", LetterRefused),
            (Step::Message, 550, "5.1.1 unknown after all", AddressRefused),
            (Step::Message, 550, "5.1.8 the sender's domain is bad", LetterRefused),
            (Step::Message, 550, "5.2.1 disabled", AddressRefused),
            (Step::Message, 550, "5.4.5 Daily SMTP relay limit exceeded for user", NotServed),
            (Step::Recipient, 550, "5.1.90 the daily limit for message recipients", NotServed),
            (Step::Message, 552, "5.3.4 too big", LetterRefused),
            (Step::Message, 552, "5.2.2 mailbox full", LetterRefused),
            (Step::Message, 451, "4.7.1 try again", TooFast),
            (Step::Message, 451, "4.3.0 try again", Deferred),
            (Step::Message, 454, "Throttling failure: Maximum sending rate exceeded.", TooFast),
            (Step::Message, 421, "4.3.2 going down", Unreachable),
            (Step::Recipient, 421, "4.7.28 an unusual rate of mail", TooFast),
            (Step::Recipient, 450, "4.7.1 too many connections", TooFast),
            (Step::Recipient, 454, "4.7.1 relay access denied", Deferred),
            (Step::Sender, 451, "4.7.1 too much mail", TooFast),
            (Step::Sender, 421, "4.7.0 closing", Unreachable),
            (Step::Copy, 450, "4.7.1 greylisted", Deferred),
        ];
        for (step, code, text, kind) in cases {
            assert_eq!(
                refusal(*step, *code, (*text).to_owned()),
                kind((*text).to_owned()),
                "{step:?} {code}"
            );
        }
    }

    #[test]
    fn what_a_status_says_about_the_address() {
        for status in
            ["5.0.0", "5.1.1", "5.1.2", "5.1.10", "5.2.0", "5.2.1", "5.4.1", "5.4.4", "5", ""]
        {
            assert!(speaks_of_the_address(status), "{status}");
        }
        for status in [
            "5.1.7", "5.1.8", "5.2.2", "5.2.3", "5.3.4", "5.4.7", "5.5.0", "5.6.1", "5.7.1",
            "5.7.26",
        ] {
            assert!(!speaks_of_the_address(status), "{status}");
        }
        assert_eq!(status_in("550 5.1.1 unknown"), "5.1.1");
        assert_eq!(status_in("550 no such user"), "5.0.0");
    }

    #[test]
    fn an_enhanced_code_is_found_where_there_is_one() {
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
