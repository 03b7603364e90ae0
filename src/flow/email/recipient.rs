//! Whom to write to: at the address that the platform named (`contact`), else at one that Stripe knows. Stripe itself writes to the account's owner (<https://docs.stripe.com/capital/reporting>); any of the fields in
//! which the owner's address may stand can be absent or null.

use std::sync::Arc;

use super::SendLetter;
use crate::consent::contact_overrides;
use crate::consent::suppression::{self, AddressHash};
use crate::letters::reason;
use crate::mail::Address;
use crate::queue::Stopped;
use crate::stripe::{Account, AccountId, Cache, Error};

/// Why nobody can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRecipient {
    /// Stripe knows no address that we may use.
    None,
    /// What Stripe has in the place that decides is no address. Another place is not tried: somebody mistyped, or worse.
    Bad,
    /// Letters to it come back.
    Refused(Address),
}

impl NoRecipient {
    /// As in `letters.reason`.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::None => reason::NO_RECIPIENT,
            Self::Bad => reason::BAD_ADDRESS,
            Self::Refused(_) => reason::ADDRESS_BOUNCED,
        }
    }
}

/// Looks an account up, and whom to write to. One whose address is refused is looked up anew: somebody may have mended it since.
pub(super) async fn look_up(
    letters: &SendLetter,
    id: &AccountId,
) -> Result<(Arc<Account>, Result<Address, NoRecipient>), Stopped> {
    let found = look_up_once(letters, id).await?;
    if !matches!(found, (_, Err(NoRecipient::Refused(_)))) {
        return Ok(found);
    }
    letters.stripe.forget(id).await;
    look_up_once(letters, id).await
}

async fn look_up_once(
    letters: &SendLetter,
    id: &AccountId,
) -> Result<(Arc<Account>, Result<Address, NoRecipient>), Stopped> {
    let account = letters.stripe.account(id).await?;
    let named = contact_overrides::find(&letters.db, id.as_str()).await?;
    let found = match named {
        Some(named) => read(&named.address),
        None => find(&letters.stripe, &account, letters.settings.allow_support_address).await?,
    };
    let found = match found {
        Ok(to)
            if suppression::store::is_suppressed(&letters.db, &AddressHash::of(to.expose()))
                .await? =>
        {
            Err(NoRecipient::Refused(to))
        }
        found => found,
    };
    Ok((account, found))
}

/// Finds the recipient at Stripe: the account's `email`, else the individual's, else the owner's among the persons, else the public
/// support address where the operator allows that. The first that is there decides.
async fn find(
    stripe: &Cache,
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
