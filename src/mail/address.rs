//! Email addresses that are safe in a header or an SMTP command, and that print masked.

use std::fmt;
use std::str::FromStr;

/// The address of a recipient. `Display` and `Debug` mask it, so that it cannot leak into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(lettre::Address);

/// An address with an optional display name: `Program <capital@example.com>`. Used for the
/// platform's own addresses, which may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox(lettre::message::Mailbox);

/// The input is not a deliverable address. The message does not repeat the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable email address (name@example.com, without line breaks)")]
pub struct AddressError;

/// RFC 5321 section 4.5.3.1.3: a path has at most 256 octets, including its angle brackets.
const MAX_LENGTH: usize = 254;

impl Address {
    /// The unmasked address.
    pub fn expose(&self) -> &str {
        self.0.as_ref()
    }

    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    pub fn inner(&self) -> &lettre::Address {
        &self.0
    }
}

impl Mailbox {
    pub fn address(&self) -> &str {
        self.0.email.as_ref()
    }

    pub fn domain(&self) -> &str {
        self.0.email.domain()
    }

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
        // Non-ASCII addresses need SMTPUTF8 (RFC 6531), which few relays support. Control
        // characters would end the header.
        if trimmed.len() > MAX_LENGTH || !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AddressError);
        }
        // Quoted local parts and address literals are valid SMTP and are still rejected: lettre
        // cannot write all of them into a header, and most relays and providers refuse them.
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
        // The contained address must pass the same checks.
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

/// A dot-atom: `name` or `first.last`, of characters that need no quoting (RFC 5322 section 3.2.3).
fn is_dot_atom(local: &str) -> bool {
    let is_atext =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// Labels of letters, digits and hyphens. A numeric last label marks an IP address.
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
    fn unsafe_addresses_are_rejected() {
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
            assert!(bad.parse::<Address>().is_err(), "{bad:?} was accepted");
        }
        assert!("X <a@b.example>\r\nBcc: c@d.example".parse::<Mailbox>().is_err());
    }

    proptest! {
        #[test]
        fn accepted_addresses_are_one_line_of_ascii(given in "\\PC*@[a-z\r\n.]*") {
            if let Ok(address) = given.parse::<Address>() {
                prop_assert!(address.expose().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }

        #[test]
        fn accepted_addresses_appear_unchanged_in_a_header(
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
