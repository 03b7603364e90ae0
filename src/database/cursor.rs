//! Cursors of paginated lists.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

/// A position in a list ordered by time, then by id. Its text is the microseconds since the epoch,
/// a dot and the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor<Id> {
    pub created_at: DateTime<Utc>,
    pub id: Id,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
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
        // No sign, and no year that Postgres cannot represent.
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
    fn a_cursor_round_trips_and_nothing_else_parses() {
        let created_at = DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap();
        let cursor = Cursor { created_at, id: 7_u8 };
        assert_eq!(cursor.to_string(), "1800000000123456.7");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
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
