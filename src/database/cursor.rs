//! Where a page of a list goes on.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

/// A place in a list that is ordered by a moment, and by an id where moments are the same. As a text, for cursors: microseconds since the
/// epoch, a point, the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor<Id> {
    /// When the entry there was made.
    pub created_at: DateTime<Utc>,
    /// And which of those that were made then.
    pub id: Id,
}

/// No text of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place in this list")]
pub struct InvalidCursor;

impl<Id: fmt::Display> fmt::Display for Cursor<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.timestamp_micros(), self.id)
    }
}

impl<Id: FromStr> FromStr for Cursor<Id> {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (micros, id) = text.split_once('.').ok_or(InvalidCursor)?;
        // Neither a sign nor a year that Postgres cannot have.
        let is_plain = micros.len() <= 16 && micros.bytes().all(|byte| byte.is_ascii_digit());
        let micros = micros.parse().ok().filter(|_| is_plain);
        let created_at = micros.and_then(DateTime::from_timestamp_micros).ok_or(InvalidCursor)?;
        Ok(Self { created_at, id: id.parse().map_err(|_| InvalidCursor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
        let created_at = DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap();
        let place = Cursor { created_at, id: 7_u8 };
        assert_eq!(place.to_string(), "1800000000123456.7");
        assert_eq!(place.to_string().parse(), Ok(place));
        for odd in [
            "",
            "1",
            "1.",
            "1 7",
            "1.x",
            "x.7",
            "1.7.7",
            "1.300",
            "-1.7",
            "+1.7",
            "10000000000000000.7",
        ] {
            assert_eq!(odd.parse::<Cursor<u8>>(), Err(InvalidCursor), "{odd:?}");
        }
    }
}
