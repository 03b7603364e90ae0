//! Addresses that are safe to put into a header or an SMTP command, and that print masked.

use std::fmt;
use std::str::FromStr;

/// The address of a recipient. `Display` and `Debug` mask it, so that it cannot end up in a log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(lettre::Address);

/// Somebody with a name: `Program <capital@example.com>`. For the platform's own addresses, which are no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox(lettre::message::Mailbox);

/// Not an address that a letter can go to. Does not repeat the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an email address that a letter can go to (name@example.com, without line breaks)")]
pub struct AddressError;

/// RFC 5321 section 4.5.3.1.3: a path is at most 256 octets with its angle brackets.
const MAX_LENGTH: usize = 254;

impl Address {
    /// The address itself.
    pub fn expose(&self) -> &str {
        self.0.as_ref()
    }

    /// What follows the `@`.
    pub(super) fn domain(&self) -> &str {
        self.0.domain()
    }

    pub(super) fn inner(&self) -> &lettre::Address {
        &self.0
    }
}

impl Mailbox {
    /// The address without the name.
    pub fn address(&self) -> &str {
        self.0.email.as_ref()
    }

    /// What follows the `@`.
    pub fn domain(&self) -> &str {
        self.0.email.domain()
    }

    /// The name, where there is one.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    pub(super) fn inner(&self) -> &lettre::message::Mailbox {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let trimmed = given.trim_matches(' ');
        // Beyond ASCII a relay needs SMTPUTF8 (RFC 6531), which few have; and control characters end headers.
        if trimmed.len() > MAX_LENGTH || !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AddressError);
        }
        lettre::Address::from_str(trimmed).map(Self).map_err(|_| AddressError)
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        if given.chars().any(char::is_control) {
            return Err(AddressError);
        }
        let mailbox = lettre::message::Mailbox::from_str(given).map_err(|_| AddressError)?;
        // The same rules hold for the address in it.
        Address::from_str(mailbox.email.as_ref())?;
        Ok(Self(mailbox))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.user().chars().next().unwrap_or('*');
        write!(f, "{first}***@{}", self.0.domain())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A relay's words without addresses: it likes to repeat the one that it speaks of, in a spelling of its own. They belong into
/// `letters.recipient`, not into logs and timelines.
pub(super) fn masked(text: &str, to: &Address) -> String {
    let belongs = |c: char| c.is_ascii_alphanumeric() || "@._%+-".contains(c);
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        match word.rsplit_once('@') {
            Some((user, domain)) if !user.is_empty() => {
                masked.extend([user.get(..1).unwrap_or("*"), "***@", domain]);
            }
            // `no such user jenny`
            _ if !word.is_empty() && word.eq_ignore_ascii_case(to.0.user()) => {
                masked.extend([&word[..1], "***"]);
            }
            _ => masked.push_str(word),
        }
        let after = &rest[word.len()..];
        let between = after.find(belongs).unwrap_or(after.len());
        masked.push_str(&after[..between]);
        rest = &after[between..];
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_prints_masked() {
        let address: Address = "jenny.rosen@example.com".parse().unwrap();
        assert_eq!(format!("{address} {address:?}"), "j***@example.com j***@example.com");
        assert_eq!(address.expose(), "jenny.rosen@example.com");
    }

    #[test]
    fn a_relay_may_repeat_the_address_in_any_spelling() {
        let address: Address = "Jenny@Bakery.example".parse().unwrap();
        for (said, shown) in [
            ("550 5.1.1 <jenny@bakery.example>: unknown", "550 5.1.1 <j***@bakery.example>: unknown"),
            ("550 no such user JENNY here", "550 no such user J*** here"),
            ("250 2.0.0 queued as 1A2B3C", "250 2.0.0 queued as 1A2B3C"),
            ("@ é jenny", "@ é j***"),
            ("", ""),
        ] {
            assert_eq!(masked(said, &address), shown);
        }
    }

    #[test]
    fn what_could_break_a_header_is_no_address() {
        let long = format!("{}@example.com", "x".repeat(250));
        for bad in [
            "",
            "jenny",
            "@example.com",
            "jenny@",
            "a@b.example\r\nBcc: c@d.example",
            "a@b.example\n",
            "a b@example.com",
            "a@b.example, c@d.example",
            "<a@b.example>",
            "jénny@example.com",
            "a\0@b.example",
            &long,
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} was let through");
        }
        assert!("X <a@b.example>\r\nBcc: c@d.example".parse::<Mailbox>().is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_let_through_is_one_line_of_ascii(given in "\\PC*@[a-z\r\n.]*") {
            if let Ok(address) = given.parse::<Address>() {
                prop_assert!(address.expose().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
