//! Finds a letter's recipient: the address that the platform set (`contact`), else one from Stripe.
//! Stripe itself writes to the account's owner (<https://docs.stripe.com/capital/reporting>); every
//! field that may hold the owner's address can be absent or null.

use std::sync::Arc;

use crate::consent::contact_overrides;
use crate::consent::suppression::{self, AddressHash};
use crate::database::Pool;
use crate::letters::reason;
use crate::mail::Address;
use crate::queue::AttemptError;
use crate::stripe::{Account, AccountId, Cache, Error};

/// Why an account has no usable address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRecipient {
    /// Stripe has none that we may use.
    Missing,
    /// The address that takes precedence is malformed. The next one is not tried: it may belong to
    /// another person.
    Invalid,
    /// The address is on the suppression list.
    Suppressed(AddressHash),
}

impl NoRecipient {
    /// As in `letters.reason`.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Missing => reason::NO_RECIPIENT,
            Self::Invalid => reason::BAD_ADDRESS,
            Self::Suppressed(_) => reason::ADDRESS_BOUNCED,
        }
    }
}

/// Reads the account and its recipient. If the address is suppressed, reads the account once more
/// past the cache: it may have been corrected since.
pub(super) async fn look_up(
    db: &Pool,
    stripe: &Cache,
    id: &AccountId,
    allow_support_address: bool,
) -> Result<(Arc<Account>, Result<Address, NoRecipient>), AttemptError> {
    let found = look_up_once(db, stripe, id, allow_support_address).await?;
    if matches!(found, (_, Err(NoRecipient::Suppressed(_)))) {
        stripe.forget(id).await;
        return look_up_once(db, stripe, id, allow_support_address).await;
    }
    Ok(found)
}

async fn look_up_once(
    db: &Pool,
    stripe: &Cache,
    id: &AccountId,
    allow_support_address: bool,
) -> Result<(Arc<Account>, Result<Address, NoRecipient>), AttemptError> {
    let account = stripe.account(id).await?;
    let set_by_platform = contact_overrides::find(db, id.as_str()).await?;
    let found = match set_by_platform {
        Some(contact) => parse(&contact.address),
        None => find(stripe, &account, allow_support_address).await?,
    };
    if let Ok(to) = &found {
        let address = AddressHash::of(to.expose());
        if suppression::store::is_suppressed(db, &address).await? {
            return Ok((account, Err(NoRecipient::Suppressed(address))));
        }
    }
    Ok((account, found))
}

/// In order of precedence: the account's `email`, the individual's, the owner's among the persons,
/// and the public support address if the operator allows it. The first one present wins.
async fn find(
    stripe: &Cache,
    account: &Account,
    allow_support_address: bool,
) -> Result<Result<Address, NoRecipient>, Error> {
    let individual = account.individual.as_ref().and_then(|person| person.email.as_deref());
    if let Some(given) = present(account.email.as_deref()).or_else(|| present(individual)) {
        return Ok(parse(given));
    }
    let owner = stripe.owner(&account.id).await?.and_then(|person| person.email.clone());
    let support = account
        .business_profile
        .as_ref()
        .filter(|_| allow_support_address)
        .and_then(|profile| profile.support_email.as_deref());
    Ok(present(owner.as_deref())
        .or_else(|| present(support))
        .map_or(Err(NoRecipient::Missing), parse))
}

fn present(given: Option<&str>) -> Option<&str> {
    given.filter(|given| !given.trim().is_empty())
}

fn parse(given: &str) -> Result<Address, NoRecipient> {
    given.parse().map_err(|_| NoRecipient::Invalid)
}
