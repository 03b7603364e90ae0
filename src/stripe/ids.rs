//! Stripe's ids, a type each, so that an account can never be handed over as an offer.

use crate::queue::{Next, Retryable};

/// An id that does not have the form that its type demands.
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

/// Longer than any id that Stripe has sent, and short enough to be part of an Idempotency-Key (255 characters at most).
const MAX_LENGTH: usize = 200;

/// Makes an id type with Stripe's prefix: parsed by `FromStr`, printed as it came.
macro_rules! stripe_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as Stripe writes it.
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
    /// One event (`evt_…`).
    EventId, "evt_"
}
stripe_id! {
    /// One financing offer (`financingoffer_…`).
    OfferId, "financingoffer_"
}
stripe_id! {
    /// One connected account (`acct_…`).
    AccountId, "acct_"
}

stripe_id! {
    /// One financing transaction (`cptxn_…`).
    TransactionId, "cptxn_"
}

/// Ids go into paths of URLs, so only what needs no escaping there is let through.
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
    fn an_id_keeps_its_form_and_refuses_others() {
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
            assert!(bad.parse::<AccountId>().is_err(), "{bad:?} was let through");
        }
    }
}
