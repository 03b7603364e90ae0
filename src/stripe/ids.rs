//! A type for each kind of Stripe id, so that the compiler rejects an account id in place of an
//! offer id.

use crate::queue::{Next, Retryable};

/// A string without the prefix or characters of the id type.
#[derive(Debug, thiserror::Error)]
#[error("`{given}` is not an id of the form {prefix}…")]
pub struct IdError {
    given: String,
    prefix: &'static str,
}

/// The ids in jobs were parsed when the jobs were queued. If one is malformed, no retry helps.
impl Retryable for IdError {
    fn next(&self) -> Next {
        Next::GiveUp
    }
}

/// Longer than Stripe's ids, and short enough for an idempotency key (at most 255 characters).
const MAX_LENGTH: usize = 200;

/// Defines an id type with a prefix. Parsing validates; formatting returns the id unchanged.
macro_rules! stripe_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(given: &str) -> Result<Self, IdError> {
                Self::try_from(given.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(given: String) -> Result<Self, IdError> {
                if well_formed(&given, $prefix) {
                    Ok(Self(given))
                } else {
                    Err(IdError { given: given.chars().take(64).collect(), prefix: $prefix })
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

stripe_id! {
    /// An event (`evt_…`).
    EventId, "evt_"
}
stripe_id! {
    /// A financing offer (`financingoffer_…`).
    OfferId, "financingoffer_"
}
stripe_id! {
    /// A connected account (`acct_…`).
    AccountId, "acct_"
}

stripe_id! {
    /// A financing transaction (`cptxn_…`).
    TransactionId, "cptxn_"
}

/// Ids become path segments of URLs, so only characters that need no escaping are accepted.
fn well_formed(given: &str, prefix: &str) -> bool {
    given.len() <= MAX_LENGTH
        && given.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_with_the_prefix_are_accepted() {
        assert_eq!("acct_1A".parse::<AccountId>().unwrap().as_str(), "acct_1A");
        for bad in [
            "",
            "acct_",
            "financingoffer_1",
            "acct_1/../x",
            "acct_1 ",
            "acct_\u{0}",
            &"acct_".repeat(60),
        ] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad:?} was accepted");
        }
    }
}
