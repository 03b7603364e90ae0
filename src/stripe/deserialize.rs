//! How Stripe's objects are read where they may hold what nobody expected: an unknown word is kept, an odd id passed over, a time
//! taken in whatever kind of number it comes.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de};

/// Makes an enum of Stripe's words that keeps a word it does not know.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(from = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A word that Stripe added after this was written.
            Other(String),
        }

        impl $name {
            /// Stripe's word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)+
                    _ => Self::Other(word),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use open_enum;

/// An id that decides nothing: one of another form is passed over, and the offer is read all the same.
pub(super) fn maybe_id<'de, D: Deserializer<'de>, T: FromStr>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|id| id.parse().ok()))
}

/// The code of a country, two letters; anything else says nothing.
pub(super) fn maybe_country<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    let is_code =
        |code: &String| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    Ok(Option::<String>::deserialize(from)?.filter(is_code))
}

/// Seconds since the epoch, as an integer or as a float.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
    instant(f64::deserialize(from)?).ok_or_else(|| de::Error::custom("not a time"))
}

/// Seconds since the epoch, as an integer or as a float. Absent, null and out of range are no time.
pub(super) fn maybe_seconds<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.and_then(instant))
}

/// Microseconds are as fine as Postgres keeps time.
pub(super) fn instant(seconds: f64) -> Option<DateTime<Utc>> {
    // The year 9999, beyond which neither a reader nor Postgres' text form has use for it.
    const LAST: f64 = 253_402_300_799.0;
    if !(0.0..=LAST).contains(&seconds) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "in range by the check above; the fraction is meant to go"
    )]
    DateTime::from_timestamp_micros((seconds * 1e6) as i64)
}
