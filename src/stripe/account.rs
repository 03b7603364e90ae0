//! The parts of a connected account that say whom to write to (<https://docs.stripe.com/api/accounts/object>).
//!
//! Stripe promises only `id` and `object`; everything else may be absent or null.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::AccountId;
use super::deserialize::maybe_country;

/// One connected account.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// `acct_…`
    pub id: AccountId,
    /// The address that the platform knows the account by.
    #[serde(default)]
    pub email: Option<String>,
    /// Two letters.
    #[serde(default, deserialize_with = "maybe_country")]
    pub country: Option<String>,
    /// What the public sees.
    #[serde(default)]
    pub business_profile: Option<BusinessProfile>,
    /// The owner, where the business is one person.
    #[serde(default)]
    pub individual: Option<Person>,
    /// The company, where it is one.
    #[serde(default)]
    pub company: Option<Company>,
    /// Of the account's own dashboard.
    #[serde(default)]
    settings: Option<Settings>,
    /// What the platform keeps with the account.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Settings {
    #[serde(default)]
    dashboard: Option<Dashboard>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Dashboard {
    #[serde(default)]
    timezone: Option<String>,
}

/// `business_profile`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct BusinessProfile {
    /// The name that customers know.
    #[serde(default)]
    pub name: Option<String>,
    /// A public address for customers: a last resort, and only where the operator allows it.
    #[serde(default)]
    pub support_email: Option<String>,
}

/// `company`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Company {
    /// The legal name.
    #[serde(default)]
    pub name: Option<String>,
}

/// A person of an account (<https://docs.stripe.com/api/persons/object>).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Person {
    /// Where to write to.
    #[serde(default)]
    pub email: Option<String>,
    /// Given name.
    #[serde(default)]
    pub first_name: Option<String>,
}

impl Account {
    /// The account's time zone, by its name in the IANA database.
    pub fn time_zone(&self) -> Option<&str> {
        self.settings.as_ref()?.dashboard.as_ref()?.timezone.as_deref()
    }

    /// The name to greet with: what customers know, else the legal name, else the owner's given name.
    pub fn display_name(&self) -> Option<&str> {
        let profile = self.business_profile.as_ref().and_then(|profile| profile.name.as_deref());
        let company = self.company.as_ref().and_then(|company| company.name.as_deref());
        let person = self.individual.as_ref().and_then(|person| person.first_name.as_deref());
        [profile, company, person].into_iter().flatten().find(|name| !name.trim().is_empty())
    }
}
