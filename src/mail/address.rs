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
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    pub fn inner(&self) -> &lettre::Address {
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

    pub fn inner(&self) -> &lettre::message::Mailbox {
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
        // Quoted names and address literals are valid in SMTP and are refused all the same: lettre cannot write all of them into a
        // header, relays and providers refuse most of them, and no merchant has one.
        let (local, domain) = trimmed.rsplit_once('@').ok_or(AddressError)?;
        if !is_dot_atom(local) || !is_host_name(domain) {
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

/// `name` or `first.last`, of the characters that need no quotes (RFC 5322 section 3.2.3).
fn is_dot_atom(local: &str) -> bool {
    let is_atext =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// Labels of letters, digits and hyphens. A last label of digits alone belongs to an IP address.
fn is_host_name(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let top = domain.rsplit('.').next().unwrap_or_default();
    domain.split('.').all(is_label) && !top.bytes().all(|byte| byte.is_ascii_digit())
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
            "\"<x>\"@b.example",
            "\"jenny\"@b.example",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "a@::1",
            "a@127.0.0.1",
            ".a@b.example",
            "a..b@c.example",
            "a@b..example",
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

        #[test]
        fn whatever_is_let_through_stands_in_a_header_as_it_is(
            given in "[a-z.\"!#$%&'*+/=?^_`{|}~\\\\<>(),:; -]{1,20}@[a-z0-9.\\[\\]:-]{1,12}",
        ) {
            if let Ok(address) = given.parse::<Address>() {
                let to = lettre::message::Mailbox::new(None, address.inner().clone());
                let message = lettre::Message::builder()
                    .from("a@b.example".parse().unwrap())
                    .to(to)
                    .body(String::new());
                let bytes = String::from_utf8(message.unwrap().formatted()).unwrap();
                prop_assert!(bytes.contains(&format!("To: {}\r\n", address.expose())), "{}", bytes);
            }
        }
    }
}
