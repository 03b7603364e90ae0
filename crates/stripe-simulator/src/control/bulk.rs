//! Many offers at once, of the past: what a platform has at Stripe before its first webhook. Each
//! offer lives its life at its own times, so that its transactions and its summary fit its status.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use crate::engine::Engine;
use crate::error::ActionError;
use crate::financing::payment::pay_manually;
use crate::lifecycle::{self, Action};
use crate::state::State;
use crate::state::account::NewAccount;
use crate::state::change::{Change, Emission};
use crate::state::ledger::PaymentSource;
use crate::state::offer::{NewOffer, text};
use crate::state::product::{Minimum, PRODUCTS, Product};

/// Every status that an offer can have.
pub const STATUSES: [&str; 11] = [
    "undelivered",
    "delivered",
    "accepted",
    "paid_out",
    "fully_repaid",
    "expired",
    "rejected",
    "canceled",
    "replaced",
    "accepted_other_offer",
    "completed",
];

#[derive(Clone, Debug)]
pub struct NewOffers {
    pub count: usize,
    /// The new accounts that the offers are spread over.
    pub accounts: usize,
    /// So many of these accounts have left the platform since.
    pub disconnected: usize,
    /// In turn. A replaced offer counts for two: its replacement is delivered.
    pub statuses: Vec<String>,
    /// In turn, and in each its products in turn, but for the line of credit.
    pub countries: Vec<String>,
    /// Whether the Events API knows their events, as those of a time without an endpoint.
    pub has_events: bool,
}

impl Default for NewOffers {
    /// A hundred offers in all statuses in the United States, one for each account.
    fn default() -> Self {
        Self {
            count: 100,
            accounts: 100,
            disconnected: 0,
            statuses: STATUSES.map(str::to_owned).to_vec(),
            countries: vec!["US".to_owned()],
            has_events: true,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct MadeOffers {
    /// Those that left the platform included.
    pub accounts: Vec<String>,
    pub disconnected: Vec<String>,
    pub count_by_status: BTreeMap<String, usize>,
}

/// Makes them without a webhook.
pub(crate) fn create(engine: &Engine, new: &NewOffers) -> Result<MadeOffers, ActionError> {
    check(new)?;
    let now = engine.time.now();
    let mut state = engine.state();
    let accounts: Vec<String> =
        (0..new.accounts).map(|number| add_account(&mut state, new, number, now)).collect();
    let mut change = Change::new(&mut state, now);
    change.emission = if new.has_events { Emission::Unsent } else { Emission::Nothing };
    let (mut made, mut number) = (0, 0);
    while made < new.count {
        let status = match new.statuses[number % new.statuses.len()].as_str() {
            // There is no room for its replacement.
            "replaced" if made + 1 == new.count => "expired",
            status => status,
        };
        let offer = PastOffer { account: &accounts[number % accounts.len()], status, number, now };
        offer.live(&mut change)?;
        made += if status == "replaced" { 2 } else { 1 };
        number += 1;
    }
    let disconnected = accounts[accounts.len() - new.disconnected..].to_vec();
    state.accounts.disconnected.extend(disconnected.iter().cloned());
    sort(&mut state, &accounts);
    let count_by_status = count_by_status(&state, &accounts);
    Ok(MadeOffers { accounts, disconnected, count_by_status })
}

fn check(new: &NewOffers) -> Result<(), ActionError> {
    if new.accounts == 0 || new.disconnected > new.accounts {
        return Err(ActionError::new("there must be accounts, and no more of them can leave"));
    }
    if new.statuses.is_empty() || new.countries.is_empty() {
        return Err(ActionError::new("there must be statuses and countries"));
    }
    let unknown = new.statuses.iter().find(|status| !STATUSES.contains(&status.as_str()));
    if let Some(status) = unknown {
        return Err(ActionError(format!("no offer has the status {status}")));
    }
    let is_market = |country: &&String| PRODUCTS.iter().any(|row| row.country == **country);
    match new.countries.iter().find(|country| !is_market(country)) {
        Some(country) => Err(ActionError(format!("there is no product in {country}"))),
        None => Ok(()),
    }
}

/// An account that is older than each of its offers.
fn add_account(state: &mut State, new: &NewOffers, number: usize, now: DateTime<Utc>) -> String {
    let account = NewAccount {
        name: Some(format!("Merchant {number}")),
        email: Some(format!("merchant-{number}@merchants.example")),
        country: Some(new.countries[number % new.countries.len()].clone()),
    };
    state.add_account(&account, now - TimeDelta::days(500))
}

struct PastOffer<'a> {
    account: &'a str,
    status: &'a str,
    number: usize,
    now: DateTime<Utc>,
}

impl PastOffer<'_> {
    /// From its creation to its status. An offer that is open now is not past its expiry.
    fn live(&self, change: &mut Change<'_>) -> Result<(), ActionError> {
        let (youngest, ages) = match self.status {
            "undelivered" | "delivered" => (0, 20),
            "accepted" => (2, 8),
            "replaced" => (5, 15),
            "paid_out" => (10, 180),
            "fully_repaid" | "completed" => (60, 300),
            _ => (31, 300),
        };
        let number = i64::try_from(self.number).unwrap_or_default();
        // Seconds apart, as those of one night are.
        let age =
            TimeDelta::days(youngest + number % ages) + TimeDelta::seconds(60 + number % 3600);
        let created = self.now - age;
        change.now = created;
        let id = lifecycle::create_offer(change, self.account, &self.terms(change));
        if !matches!(self.status, "undelivered" | "expired") {
            lifecycle::set_delivered(change, &id);
        }
        for (days, action) in self.steps() {
            change.now = created + TimeDelta::days(*days);
            lifecycle::perform(change, *action, &id)?;
        }
        change.now = created + TimeDelta::days(5);
        self.finish(change, &id)
    }

    /// What happens how many days after the creation.
    fn steps(&self) -> &'static [(i64, Action)] {
        match self.status {
            "accepted" => &[(1, Action::Apply)],
            "paid_out" => &[(1, Action::Apply), (2, Action::Approve)],
            "fully_repaid" | "completed" => {
                &[(1, Action::Apply), (2, Action::Approve), (50, Action::Repay)]
            }
            "expired" => &[(30, Action::Expire)],
            "rejected" => &[(1, Action::Apply), (2, Action::Reject)],
            // Some after the payout.
            "canceled" if self.number.is_multiple_of(2) => {
                &[(1, Action::Apply), (2, Action::Approve), (3, Action::Cancel)]
            }
            "canceled" => &[(1, Action::Apply), (2, Action::Cancel)],
            "replaced" => &[(2, Action::Replace)],
            "accepted_other_offer" => &[(2, Action::TakeOther)],
            _ => &[],
        }
    }

    fn finish(&self, change: &mut Change<'_>, id: &str) -> Result<(), ActionError> {
        match self.status {
            "paid_out" => pay_manually(change, id, 30_000, PaymentSource::BankAccount).map(drop),
            // A word of the past for an offer that is fully repaid.
            "completed" => {
                if let Some(offer) = change.state.offers.get_mut(id) {
                    offer["status"] = json!("completed");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn terms(&self, change: &Change<'_>) -> NewOffer {
        let country = change.state.accounts.country(self.account);
        let products: Vec<&Product> = PRODUCTS
            .iter()
            .filter(|row| row.country == country && row.minimum != Minimum::MonthlyPerDraw)
            .collect();
        let product = products[self.number % products.len()];
        NewOffer { financing_type: product.financing_type.to_owned(), ..NewOffer::default() }
    }
}

/// Everything that is kept by time has its place by time.
fn sort(state: &mut State, accounts: &[String]) {
    state.offers.sort();
    state.events.sort();
    state.ledger.financings.sort_by_key(|financing| financing.paid_out_at);
    for account in accounts {
        if let Some(transactions) = state.transactions.get_mut(account) {
            transactions.sort_by_key(|transaction| transaction["created_at"].as_i64());
        }
        if let Some(balance) = state.balances.get_mut(account) {
            balance.transactions.sort_by_key(|transaction| transaction["created"].as_i64());
            balance.payouts.sort_by_key(|payout| payout["created"].as_i64());
        }
    }
}

fn count_by_status(state: &State, accounts: &[String]) -> BTreeMap<String, usize> {
    let accounts: std::collections::HashSet<&str> = accounts.iter().map(String::as_str).collect();
    let mut counts = BTreeMap::new();
    for offer in state.offers.all() {
        if offer["account"].as_str().is_some_and(|account| accounts.contains(account)) {
            *counts.entry(text(&offer["status"])).or_default() += 1;
        }
    }
    counts
}
