//! Connected accounts (<https://docs.stripe.com/api/accounts>), as a platform sees those with the
//! Express Dashboard.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::market::Market;

#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// `business_profile.name`.
    pub name: Option<String>,
    pub email: Option<String>,
    /// Two letters; `US` if absent.
    pub country: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accounts {
    pub(crate) objects: HashMap<String, Value>,
    /// By account, oldest first.
    pub(crate) persons: HashMap<String, Vec<Value>>,
    /// Those that left the platform. What it knew of them stays, and can no longer be read.
    pub(crate) disconnected: HashSet<String>,
}

impl Accounts {
    /// The account becomes an individual's. Nothing happens without the account.
    pub(crate) fn set_owner(&mut self, id: &str, first_name: &str, last_name: &str) {
        if let Some(account) = self.objects.get_mut(id) {
            account["business_type"] = json!("individual");
            account["individual"] = json!({
                "object": "person", "account": id, "email": account["email"],
                "first_name": first_name, "last_name": last_name,
                "relationship": {"owner": true, "representative": true},
            });
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Value> {
        self.objects.get(id)
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.objects.contains_key(id)
    }

    pub(crate) fn is_connected(&self, id: &str) -> bool {
        self.contains(id) && !self.disconnected.contains(id)
    }

    /// That the account has now.
    pub(crate) fn country(&self, id: &str) -> &str {
        self.get(id).and_then(|account| account["country"].as_str()).unwrap_or("US")
    }

    pub(crate) fn market(&self, id: &str) -> Market {
        Market::of(self.country(id))
    }

    /// The currency that the account is paid in.
    pub(crate) fn currency(&self, id: &str) -> String {
        let currency = self.get(id).and_then(|account| account["default_currency"].as_str());
        currency.unwrap_or("usd").to_owned()
    }

    /// The date in the account's own time zone.
    pub(crate) fn local_date(&self, id: &str, at: DateTime<Utc>) -> NaiveDate {
        let zone = self.get(id).map(|account| &account["settings"]["dashboard"]["timezone"]);
        let zone: Option<Tz> = zone.and_then(Value::as_str).and_then(|zone| zone.parse().ok());
        at.with_timezone(&zone.unwrap_or(Tz::UTC)).date_naive()
    }
}

/// The object of a new account.
pub(super) fn account_object(id: &str, new: &NewAccount, now: DateTime<Utc>) -> Value {
    let country = new.country.as_deref().unwrap_or("US");
    let market = Market::of(country);
    json!({
        "id": id, "object": "account", "type": "express", "created": now.timestamp(),
        "country": country, "default_currency": market.currency, "email": new.email,
        "business_type": "company", "charges_enabled": true, "payouts_enabled": true,
        "details_submitted": true,
        "business_profile": {
            "name": new.name, "support_email": null, "support_phone": null,
            "support_url": null, "url": null, "mcc": "5734", "product_description": null,
            "support_address": null,
        },
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "company": {"name": null, "owners_provided": true}, "individual": null, "metadata": {},
        "settings": {
            "dashboard": {"display_name": new.name, "timezone": market.timezone.name()},
        },
    })
}
