//! Lenient decoding: unknown enum values are preserved, malformed optional ids are dropped, and
//! timestamps may be integers or floats.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};

/// Defines an enum of Stripe's values that preserves unknown ones.
macro_rules! open_enum {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal),+ $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(from = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A value unknown to this version.
            Other(String),
        }

        impl $name {
            /// The value as Stripe writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $value,)+
                    Self::Other(value) => value,
                }
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                match value.as_str() {
                    $($value => Self::$variant,)+
                    _ => Self::Other(value),
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

/// An optional id; a malformed one is none, so that the object remains readable.
pub(super) fn maybe_id<'de, D: Deserializer<'de>, T: FromStr>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|id| id.parse().ok()))
}

/// An optional object; an unreadable one is none.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(from)?).ok())
}

/// A two-letter country code; anything else is none.
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

/// Seconds since the epoch, as an integer or as a float; none if absent, null or out of range.
pub(super) fn maybe_seconds<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.and_then(instant))
}

/// Truncated to microseconds, the resolution of Postgres; none before 1970 and after 9999.
pub(super) fn instant(seconds: f64) -> Option<DateTime<Utc>> {
    // The end of the year 9999.
    const LAST: f64 = 253_402_300_799.0;
    if !(0.0..=LAST).contains(&seconds) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "in range by the check above; the fraction of a microsecond is dropped"
    )]
    DateTime::from_timestamp_micros((seconds * 1e6) as i64)
}
