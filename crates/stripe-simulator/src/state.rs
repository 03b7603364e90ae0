//! The simulator's memory.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::answer::Answer;
use super::country::Market;
use super::dashboard::Dashboard;
use super::events::Target;
use super::faults::{Fault, Trouble};
use super::financing::Books;
use super::link::Link;

/// A connected account to be.
#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// `business_profile.name`.
    pub name: Option<String>,
    /// `email`; null where none.
    pub email: Option<String>,
    /// Two letters; `US` where none.
    pub country: Option<String>,
}

/// An offer to be.
#[derive(Clone, Debug)]
pub struct NewOffer {
    /// Minor units.
    pub advance_amount: i64,
    /// Minor units.
    pub fee_amount: i64,
    /// Lower-case ISO code; that of the account's country where none.
    pub currency: Option<String>,
    /// A fraction.
    pub withhold_rate: f64,
    /// `standard` or `refill`.
    pub product_type: String,
    /// `flex_loan`, `cash_advance` or `fixed_term_loan`.
    pub financing_type: String,
    /// How long it is open. Stripe's are open for some 30 days.
    pub open_for: TimeDelta,
}

impl Default for NewOffer {
    fn default() -> Self {
        Self {
            advance_amount: 100_000,
            fee_amount: 10_000,
            currency: None,
            withhold_rate: 0.15,
            product_type: "standard".to_owned(),
            financing_type: "flex_loan".to_owned(),
            open_for: TimeDelta::days(30),
        }
    }
}

/// One request that came in.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET`, `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// `Stripe-Account`.
    pub stripe_account: Option<String>,
    /// `Stripe-Version`.
    pub stripe_version: Option<String>,
    /// What was answered; none where the connection was dropped.
    pub status: Option<u16>,
}

/// An event, and whether some delivery of it was answered 2xx.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) body: Value,
    pub(crate) delivered: bool,
}

/// What is remembered under an Idempotency-Key.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    /// Method and path, and the body: the same key may not be used for something else.
    pub(crate) request: String,
    pub(crate) at: DateTime<Utc>,
    /// None while the first request is being carried out.
    pub(crate) answer: Option<Answer>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: HashMap<String, Value>,
    pub(crate) persons: HashMap<String, Vec<Value>>,
    /// By the account; oldest first.
    pub(crate) transactions: HashMap<String, Vec<Value>>,
    /// Oldest first.
    pub(crate) offers: Vec<Value>,
    offer_places: HashMap<String, usize>,
    pub(crate) events: Vec<Event>,
    pub(crate) event_places: HashMap<String, usize>,
    pub(crate) remembered: HashMap<String, Remembered>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) calls: Vec<Call>,
    /// Financings, charges, balances.
    pub(crate) books: Books,
    /// Account Links, by the secret in their address.
    pub(crate) links: HashMap<String, Link>,
    pub(crate) marked: HashMap<String, u32>,
    pub(crate) target: Option<Target>,
    pub(crate) dashboard: Option<Dashboard>,
    /// Days are being played for a visitor of the page.
    pub(crate) is_playing: bool,
    last_id: u64,
}

impl State {
    /// Ids grow from the time of the start, so that those of one run do not meet those of an earlier one in a database.
    pub(crate) fn starting_at(now: DateTime<Utc>) -> Self {
        Self { last_id: now.timestamp_millis().unsigned_abs(), ..Self::default() }
    }

    /// An id of Stripe's form, in the order of making.
    pub(crate) fn new_id(&mut self, prefix: &str) -> String {
        self.last_id += 1;
        format!("{prefix}1Sim{:014}", self.last_id)
    }

    pub(crate) fn add_account(&mut self, new: &NewAccount, now: DateTime<Utc>) -> String {
        let id = self.new_id("acct_");
        let country = new.country.as_deref().unwrap_or("US");
        let market = Market::of(country);
        let account = json!({
            "id": id, "object": "account", "type": "express", "created": now.timestamp(),
            "country": country, "default_currency": market.currency, "email": new.email,
            "business_type": "company", "charges_enabled": true, "payouts_enabled": true, "details_submitted": true,
            "business_profile": {
                "name": new.name, "support_email": null, "support_phone": null, "support_url": null, "url": null,
                "mcc": "5734", "product_description": null, "support_address": null,
            },
            "capabilities": {"card_payments": "active", "transfers": "active"},
            "company": {"name": null, "owners_provided": true}, "individual": null, "metadata": {},
            "settings": {"dashboard": {"display_name": new.name, "timezone": market.timezone.name()}},
        });
        self.accounts.insert(id.clone(), account);
        id
    }

    pub(crate) fn add_offer(
        &mut self,
        account: &str,
        new: &NewOffer,
        now: DateTime<Utc>,
    ) -> String {
        let id = self.new_id("financingoffer_");
        #[expect(clippy::cast_precision_loss, reason = "Stripe sends this time as a float too")]
        let expires_after = (now + new.open_for).timestamp() as f64;
        let market = self.market_of(account);
        let currency = new.currency.as_deref().unwrap_or(market.currency);
        let offer = json!({
            "id": id, "object": "capital.financing_offer", "account": account, "created": now.timestamp(),
            "expires_after": expires_after, "livemode": false, "status": "undelivered", "metadata": {},
            "financing_type": new.financing_type, "type": new.financing_type, "product_type": new.product_type,
            "disclaimer_variant": market.disclaimer(&new.financing_type),
            "offered_terms": {
                "advance_amount": new.advance_amount, "campaign_type": "newly_eligible_user", "currency": currency,
                "fee_amount": new.fee_amount, "previous_financing_fee_discount_rate": null,
                "withhold_rate": new.withhold_rate,
            },
            "status_transitions": no_transitions(),
        });
        self.push_offer(offer);
        id
    }

    /// By the country that the account has now.
    pub(crate) fn market_of(&self, account: &str) -> Market {
        Market::of(
            self.accounts
                .get(account)
                .and_then(|account| account["country"].as_str())
                .unwrap_or("US"),
        )
    }

    /// The date by the account's own clock.
    pub(crate) fn local_date(&self, account: &str, at: DateTime<Utc>) -> NaiveDate {
        let settings =
            self.accounts.get(account).map(|account| &account["settings"]["dashboard"]["timezone"]);
        let zone: Option<Tz> = settings.and_then(Value::as_str).and_then(|zone| zone.parse().ok());
        at.with_timezone(&zone.unwrap_or(Tz::UTC)).date_naive()
    }

    pub(crate) fn push_offer(&mut self, offer: Value) {
        let id = offer["id"].as_str().unwrap_or_default().to_owned();
        self.offer_places.insert(id, self.offers.len());
        self.offers.push(offer);
    }

    pub(crate) fn offer(&self, id: &str) -> Option<&Value> {
        self.offers.get(*self.offer_places.get(id)?)
    }

    pub(crate) fn offer_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.offers.get_mut(*self.offer_places.get(id)?)
    }

    pub(crate) fn newest_offer(&self, account: &str) -> Option<&Value> {
        self.offers.iter().rfind(|offer| offer["account"] == account)
    }

    /// The trouble that the next request is in, if it is.
    pub(crate) fn take_trouble(&mut self, method: &str, path: &str) -> Option<Trouble> {
        let fault = self.faults.iter_mut().find(|fault| fault.fits(method, path))?;
        fault.times -= 1;
        Some(fault.trouble.clone())
    }
}

/// `status_transitions` of a new offer: a time for each status that it may come to.
pub(crate) fn no_transitions() -> Value {
    json!({
        "accepted_at": null, "canceled_at": null, "fully_repaid_at": null, "paid_out_at": null, "rejected_at": null,
        "replaced_at": null,
    })
}
