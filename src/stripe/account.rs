//! `account`, reduced to contact details, country and time zone
//! (<https://docs.stripe.com/api/accounts/object>).
//!
//! Stripe guarantees only `id` and `object`; everything else may be absent or null.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::AccountId;
use super::deserialize::maybe_country;
use crate::format::locale::Language;

/// One connected account.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// `acct_…`
    pub id: AccountId,
    /// The account holder's address, for the platform.
    pub email: Option<String>,
    /// ISO 3166 code, two letters.
    #[serde(default, deserialize_with = "maybe_country")]
    pub country: Option<String>,
    pub business_profile: Option<BusinessProfile>,
    /// Present if `business_type` is `individual`.
    pub individual: Option<Person>,
    /// Present for companies and other organizations.
    pub company: Option<Company>,
    settings: Option<Settings>,
    /// The platform's own key-value pairs.
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Settings {
    dashboard: Option<Dashboard>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Dashboard {
    timezone: Option<String>,
}

/// `business_profile`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct BusinessProfile {
    /// The name shown to customers.
    pub name: Option<String>,
    /// A public address for customers: a last resort, used only if the operator allows it.
    pub support_email: Option<String>,
}

/// `company`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Company {
    /// The legal name.
    pub name: Option<String>,
}

/// A person of an account (<https://docs.stripe.com/api/persons/object>).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Person {
    pub email: Option<String>,
    pub first_name: Option<String>,
}

impl Account {
    /// The time zone of the account's dashboard, an IANA name.
    pub fn time_zone(&self) -> Option<&str> {
        self.settings.as_ref()?.dashboard.as_ref()?.timezone.as_deref()
    }

    /// The languages to write in, in order of preference: first the one that the platform named in
    /// the account's metadata under this key.
    pub fn languages(&self, metadata_key: &str) -> Vec<Language> {
        let named = self.metadata.as_ref().and_then(|all| all.get(metadata_key));
        Language::preferred(named.map(String::as_str), self.country.as_deref())
    }

    /// The public name, else the legal name.
    pub fn business_name(&self) -> Option<&str> {
        let profile = self.business_profile.as_ref().and_then(|profile| profile.name.as_deref());
        let company = self.company.as_ref().and_then(|company| company.name.as_deref());
        [profile, company].into_iter().flatten().find(|name| !name.trim().is_empty())
    }

    /// The first name of the individual that the account belongs to; `None` for companies.
    pub fn first_name(&self) -> Option<&str> {
        let name = self.individual.as_ref()?.first_name.as_deref()?;
        Some(name).filter(|name| !name.trim().is_empty())
    }

    /// The name of the business, else the individual's first name.
    pub fn display_name(&self) -> Option<&str> {
        self.business_name().or_else(|| self.first_name())
    }
}
