//! Whom to write to. Stripe itself writes to the account's owner (<https://docs.stripe.com/capital/reporting>); any of the fields in
//! which the owner's address may stand can be absent or null.

use super::address::Address;
use crate::stripe::{Account, Error, Memory};

/// Why nobody can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRecipient {
    /// Stripe knows no address that we may use.
    None,
    /// What Stripe has in the place that decides is no address. Another place is not tried: somebody mistyped, or worse.
    Bad,
}

impl NoRecipient {
    /// As in `letters.reason`.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::None => "no_recipient",
            Self::Bad => "bad_address",
        }
    }
}

/// Finds the recipient: the account's `email`, else the individual's, else the owner's among the persons, else the public
/// support address where the operator allows that. The first that is there decides.
pub(super) async fn find(
    stripe: &Memory,
    account: &Account,
    allow_support_address: bool,
) -> Result<Result<Address, NoRecipient>, Error> {
    let individual = account.individual.as_ref().and_then(|person| person.email.as_deref());
    if let Some(given) = present(account.email.as_deref()).or_else(|| present(individual)) {
        return Ok(read(given));
    }
    let owner = stripe.owner(&account.id).await?.and_then(|person| person.email.clone());
    let support = account
        .business_profile
        .as_ref()
        .filter(|_| allow_support_address)
        .and_then(|profile| profile.support_email.as_deref());
    Ok(present(owner.as_deref()).or_else(|| present(support)).map_or(Err(NoRecipient::None), read))
}

fn present(given: Option<&str>) -> Option<&str> {
    given.filter(|given| !given.trim().is_empty())
}

fn read(given: &str) -> Result<Address, NoRecipient> {
    given.parse().map_err(|_| NoRecipient::Bad)
}
