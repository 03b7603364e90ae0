//! The envelope sender of each letter (VERP): a distinct address, so that a bounce identifies its
//! letter.
//!
//! `bounces@rocket.example` becomes `bounces+<letter>@rocket.example`, with the 32 hexadecimal
//! digits of the letter's id. The address is not signed: anyone who has the letter also has its
//! Message-ID, which identifies it too, and the id's 74 random bits cannot be guessed.
//! Hexadecimal survives mail servers that lower-case addresses.

use std::str::FromStr;

use super::address::{Address, AddressError};

/// The base address, which gets a suffix per letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnPath {
    user: String,
    domain: String,
}

/// RFC 5321 section 4.5.3.1.1.
const MAX_LOCAL_PART: usize = 64;
/// Hexadecimal digits of a letter's id.
const ID_DIGITS: usize = 32;
const PREFIX: &str = "letter_";

impl FromStr for ReturnPath {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let address: Address = given.parse()?;
        let (user, domain) = address.expose().rsplit_once('@').ok_or(AddressError)?;
        if user.len() + 1 + ID_DIGITS > MAX_LOCAL_PART {
            return Err(AddressError);
        }
        Ok(Self { user: user.to_owned(), domain: domain.to_owned() })
    }
}

impl ReturnPath {
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The return path of one letter. `None` if the id has an unexpected form.
    pub fn for_letter(&self, letter_id: &str) -> Option<lettre::Address> {
        let digits = letter_id.strip_prefix(PREFIX).filter(|digits| is_letter_id(digits))?;
        lettre::Address::new(format!("{}+{digits}", self.user), &self.domain).ok()
    }
}

/// The ids of letters whose return paths occur in a text, whichever base address was configured
/// when they were sent.
pub fn letters_in(text: &str) -> impl Iterator<Item = String> {
    text.split('+').skip(1).filter_map(|rest| {
        let (digits, after) = rest.split_at_checked(ID_DIGITS)?;
        let digits = digits.to_ascii_lowercase();
        (after.starts_with('@') && is_letter_id(&digits)).then(|| format!("{PREFIX}{digits}"))
    })
}

fn is_letter_id(digits: &str) -> bool {
    digits.len() == ID_DIGITS
        && digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: &str = "letter_0193a1b2c3d47e5f8091a2b3c4d5e6f7";

    #[test]
    fn a_return_path_identifies_its_letter_in_any_case() {
        let path: ReturnPath = "bounces@rocket.example".parse().unwrap();
        let address = path.for_letter(LETTER).unwrap().to_string();
        assert_eq!(address, "bounces+0193a1b2c3d47e5f8091a2b3c4d5e6f7@rocket.example");
        for text in [
            address.clone(),
            format!("x@y.example, <{}>", address.to_uppercase()),
            format!("a+b@c, {address}"),
        ] {
            assert_eq!(letters_in(&text).collect::<Vec<_>>(), [LETTER], "{text}");
        }
        assert_eq!(path.for_letter("letter_1"), None);
    }

    #[test]
    fn other_addresses_identify_no_letter() {
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
    fn a_base_address_must_leave_room_for_the_id() {
        let user = "x".repeat(31);
        assert!(format!("{user}@rocket.example").parse::<ReturnPath>().is_ok());
        assert!(format!("{user}x@rocket.example").parse::<ReturnPath>().is_err());
        assert!("Bounces <b@rocket.example>".parse::<ReturnPath>().is_err());
    }
}
