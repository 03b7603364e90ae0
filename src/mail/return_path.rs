//! Where a letter goes back to that cannot be delivered: an address of its own, so that whatever comes there names the letter (VERP).
//!
//! `bounces@rocket.example` becomes `bounces+<letter>@rocket.example`, with the 32 digits of the letter's id. They are not signed: who
//! has a letter has its Message-ID too, which names it as well, and nobody else can guess 74 bits of chance. Hexadecimal survives mail
//! servers that write addresses in lower case.

use std::str::FromStr;

use super::address::{Address, AddressError};

/// The address of which each letter gets a variant as its envelope's sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnPath {
    user: String,
    domain: String,
}

/// RFC 5321 section 4.5.3.1.1.
const MAX_LOCAL_PART: usize = 64;
/// The digits of a letter's id.
const DIGITS: usize = 32;
const PREFIX: &str = "letter_";

impl FromStr for ReturnPath {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let address: Address = given.parse()?;
        let (user, domain) = address.expose().rsplit_once('@').ok_or(AddressError)?;
        if user.len() + 1 + DIGITS > MAX_LOCAL_PART {
            return Err(AddressError);
        }
        Ok(Self { user: user.to_owned(), domain: domain.to_owned() })
    }
}

impl ReturnPath {
    /// The letter's own; none for a letter whose id is not of our making.
    pub fn of(&self, letter_id: &str) -> Option<lettre::Address> {
        let digits = letter_id.strip_prefix(PREFIX).filter(|digits| are_an_id(digits))?;
        lettre::Address::new(format!("{}+{digits}", self.user), &self.domain).ok()
    }
}

/// The letters that are named in a text by variants of a return path, whichever that was when they were sent.
pub fn letters_in(text: &str) -> impl Iterator<Item = String> {
    text.split('+').skip(1).filter_map(|rest| {
        let (digits, after) = rest.split_at_checked(DIGITS)?;
        let digits = digits.to_ascii_lowercase();
        (after.starts_with('@') && are_an_id(&digits)).then(|| format!("{PREFIX}{digits}"))
    })
}

fn are_an_id(digits: &str) -> bool {
    digits.len() == DIGITS
        && digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: &str = "letter_0193a1b2c3d47e5f8091a2b3c4d5e6f7";

    #[test]
    fn a_letter_goes_back_to_an_address_that_names_it_in_any_case() {
        let path: ReturnPath = "bounces@rocket.example".parse().unwrap();
        let address = path.of(LETTER).unwrap().to_string();
        assert_eq!(address, "bounces+0193a1b2c3d47e5f8091a2b3c4d5e6f7@rocket.example");
        for text in [
            address.clone(),
            format!("x@y.example, <{}>", address.to_uppercase()),
            format!("a+b@c, {address}"),
        ] {
            assert_eq!(letters_in(&text).collect::<Vec<_>>(), [LETTER], "{text}");
        }
        assert_eq!(path.of("letter_1"), None);
    }

    #[test]
    fn what_names_no_letter_is_passed_over() {
        for text in [
            "",
            "bounces@rocket.example",
            "a+b@c.example",
            "a+0193a1b2c3d47e5f8091a2b3c4d5e6f7",
            "+é",
            "a+0193a1b2c3d47e5f8091a2b3c4d5e6fz@c.example",
            "a+0193a1b2c3d47e5f8091a2b3c4d5e6f@c.example",
        ] {
            assert_eq!(letters_in(text).count(), 0, "{text}");
        }
    }

    #[test]
    fn a_return_path_leaves_room_for_the_letter() {
        let user = "x".repeat(31);
        assert!(format!("{user}@rocket.example").parse::<ReturnPath>().is_ok());
        assert!(format!("{user}x@rocket.example").parse::<ReturnPath>().is_err());
        assert!("Bounces <b@rocket.example>".parse::<ReturnPath>().is_err());
    }
}
