//! Finds a letter's recipient: the address that the platform set, else one
//! from Stripe. Stripe itself writes to the account's owner
//! (<https://docs.stripe.com/capital/reporting>); every field that may hold the owner's address can
//! be absent or null.

use std::sync::Arc;

use crate::consent;
use crate::consent::suppression::{self, AddressHash};
use crate::database::Pool;
use crate::letters::reason;
use crate::mail::Address;
use crate::queue::{Next, Retryable};
use crate::stripe::{Account, AccountId, Cache, Error};

/// Where an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub enum AddressSource {
    /// The platform set it.
    #[strum(serialize = "contact_override")]
    Override,
    /// The field of the account at Stripe, as the others.
    #[strum(serialize = "email")]
    Account,
    #[strum(serialize = "individual.email")]
    Individual,
    /// The owner among the account's persons.
    #[strum(serialize = "persons.email")]
    Owner,
    #[strum(serialize = "business_profile.support_email")]
    Support,
}

impl AddressSource {
    /// `contact_override`, or the path of the field at Stripe.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A usable address.
#[derive(Clone, Debug)]
pub struct Recipient {
    pub address: Address,
    pub source: AddressSource,
    /// The first name of the person to whom Stripe says that the address belongs. `None` if
    /// another person may read it.
    pub first_name: Option<String>,
}

/// Why an account has no usable address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRecipient {
    /// Stripe has none that we may use.
    Missing,
    /// The address that takes precedence is malformed. The next one is not tried: it may belong to
    /// another person.
    Invalid(AddressSource),
    /// The address is on the suppression list.
    Suppressed(AddressHash),
}

impl NoRecipient {
    /// As in `letters.reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => reason::NO_RECIPIENT,
            Self::Invalid(_) => reason::BAD_ADDRESS,
            Self::Suppressed(_) => reason::ADDRESS_BOUNCED,
        }
    }
}

/// An account whose recipient could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum RecipientError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Stripe(#[from] Error),
}

impl Retryable for RecipientError {
    fn next(&self) -> Next {
        match self {
            Self::Database(error) => error.next(),
            Self::Stripe(error) => error.next(),
        }
    }
}

/// Reads the account and its recipient; `set_by_platform`: as in
/// [`crate::consent::Preferences::address`]. If the address is suppressed, reads both once more,
/// past the cache: it may have been corrected since.
pub(super) async fn look_up(
    db: &Pool,
    stripe: &Cache,
    id: &AccountId,
    set_by_platform: Option<&str>,
    allow_support_address: bool,
) -> Result<(Arc<Account>, Result<Recipient, NoRecipient>), RecipientError> {
    let found = look_up_once(db, stripe, id, set_by_platform, allow_support_address).await?;
    if matches!(found, (_, Err(NoRecipient::Suppressed(_)))) {
        stripe.forget(id).await;
        let set_by_platform = consent::preferences_of(db, id.as_str()).await?.address;
        let set_by_platform = set_by_platform.as_deref();
        return look_up_once(db, stripe, id, set_by_platform, allow_support_address).await;
    }
    Ok(found)
}

async fn look_up_once(
    db: &Pool,
    stripe: &Cache,
    id: &AccountId,
    set_by_platform: Option<&str>,
    allow_support_address: bool,
) -> Result<(Arc<Account>, Result<Recipient, NoRecipient>), RecipientError> {
    let account = stripe.account(id).await?;
    let found = match set_by_platform {
        Some(given) => parse(given, AddressSource::Override, None),
        None => find(stripe, &account, allow_support_address).await?,
    };
    if let Ok(to) = &found {
        let address = AddressHash::of(to.address.expose());
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
) -> Result<Result<Recipient, NoRecipient>, Error> {
    let individual = account.individual.as_ref().and_then(|person| person.email.as_deref());
    if let Some(given) = present(account.email.as_deref()) {
        return Ok(parse(given, AddressSource::Account, account.first_name()));
    }
    if let Some(given) = present(individual) {
        return Ok(parse(given, AddressSource::Individual, account.first_name()));
    }
    let owner = stripe.owner(&account.id).await?;
    let first_name = owner.as_ref().and_then(|person| person.first_name.as_deref());
    let owner = owner.as_ref().and_then(|person| person.email.as_deref());
    let support = account
        .business_profile
        .as_ref()
        .filter(|_| allow_support_address)
        .and_then(|profile| profile.support_email.as_deref());
    Ok(match (present(owner), present(support)) {
        (Some(given), _) => parse(given, AddressSource::Owner, first_name),
        (None, Some(given)) => parse(given, AddressSource::Support, None),
        (None, None) => Err(NoRecipient::Missing),
    })
}

fn present(given: Option<&str>) -> Option<&str> {
    given.filter(|given| !given.trim().is_empty())
}

fn parse(
    given: &str,
    source: AddressSource,
    first_name: Option<&str>,
) -> Result<Recipient, NoRecipient> {
    match given.parse() {
        Ok(address) => Ok(Recipient { address, source, first_name: first_name.map(str::to_owned) }),
        Err(_) => Err(NoRecipient::Invalid(source)),
    }
}
