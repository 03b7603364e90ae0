//! Stripe's objects, in memory. Nothing here knows of HTTP.
//!
//! | file | owns |
//! |---|---|
//! | `account` | connected accounts |
//! | `market` | what an account's country decides |
//! | `product` | what Capital offers in which country |
//! | `offer` | financing offers |
//! | `account_link` | Account Links |
//! | `event` | events, and whether an endpoint got them |
//! | `webhook_endpoint` | webhook endpoints that a client registered |
//! | `ledger` | financings and the payments to them |
//! | `balance` | balance transactions and payouts of an account |
//! | `journal` | what moved an account's money, in order |
//! | `change` | one atomic change of all of it, and the events that it makes |

pub(crate) mod account;
pub(crate) mod account_link;
pub(crate) mod balance;
pub(crate) mod change;
pub(crate) mod event;
pub(crate) mod journal;
pub(crate) mod ledger;
pub(crate) mod market;
pub(crate) mod offer;
pub(crate) mod product;
pub(crate) mod webhook_endpoint;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::account::{Accounts, NewAccount, account_object};
use self::account_link::AccountLink;
use self::balance::Balance;
use self::event::{EventLog, LostEvents};
use self::journal::Movement;
use self::ledger::Ledger;
use self::offer::{NewOffer, Offers, offer_object};
use self::product::default_interval;
use self::webhook_endpoint::RegisteredEndpoint;
use crate::webhook::WebhookEndpoint;

/// What a restart must not lose is written as JSON; see `snapshot`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// `livemode` of every object. The API key decides.
    pub(crate) livemode: bool,
    pub(crate) accounts: Accounts,
    pub(crate) offers: Offers,
    pub(crate) events: EventLog,
    /// Where events are sent from now on. Those made before the registration are never sent.
    #[serde(skip)]
    pub(crate) endpoint: Option<WebhookEndpoint>,
    /// Registered over HTTP, oldest first.
    pub(crate) webhook_endpoints: Vec<RegisteredEndpoint>,
    /// By the secret in their URL.
    #[serde(skip)]
    pub(crate) links: HashMap<String, AccountLink>,
    pub(crate) ledger: Ledger,
    /// Financing transactions by account, oldest first.
    pub(crate) transactions: HashMap<String, Vec<Value>>,
    pub(crate) charges: HashMap<String, StoredCharge>,
    pub(crate) transfers: HashMap<String, Value>,
    pub(crate) balances: HashMap<String, Balance>,
    /// By account, oldest first.
    pub(crate) journal: HashMap<String, Vec<Movement>>,
    /// Whether summaries and accepted terms have the fields of Stripe's newest preview.
    pub(crate) sends_preview_fields: bool,
    /// The flags that the platform may send in `Stripe-Version`.
    pub(crate) beta_flags: Vec<String>,
    /// Thin events by id, with what only a retrieval shows.
    pub(crate) thin_events: HashMap<String, Value>,
    pub(crate) lost: LostEvents,
    pub(crate) last_id: u64,
}

/// A charge and its owner; none is the platform.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredCharge {
    pub(crate) account: Option<String>,
    pub(crate) object: Value,
}

impl State {
    /// Ids grow from the time of the start, so that those of one run do not meet those of an
    /// earlier one in a database.
    pub(crate) fn new(now: DateTime<Utc>, livemode: bool) -> Self {
        Self {
            livemode,
            accounts: Accounts::default(),
            offers: Offers::default(),
            events: EventLog::default(),
            endpoint: None,
            webhook_endpoints: Vec::new(),
            links: HashMap::new(),
            ledger: Ledger::default(),
            transactions: HashMap::new(),
            charges: HashMap::new(),
            transfers: HashMap::new(),
            balances: HashMap::new(),
            journal: HashMap::new(),
            sends_preview_fields: true,
            beta_flags: vec!["embedded_connect_beta".to_owned()],
            thin_events: HashMap::new(),
            lost: LostEvents::default(),
            last_id: now.timestamp_millis().unsigned_abs(),
        }
    }

    /// An id of Stripe's form. Later ids sort after earlier ones.
    pub(crate) fn new_id(&mut self, prefix: &str) -> String {
        self.last_id += 1;
        format!("{prefix}1Sim{:014}", self.last_id)
    }

    pub(crate) fn add_account(&mut self, new: &NewAccount, now: DateTime<Utc>) -> String {
        let id = self.new_id("acct_");
        self.accounts.objects.insert(id.clone(), account_object(&id, new, now));
        id
    }

    pub(crate) fn add_offer(
        &mut self,
        account: &str,
        new: &NewOffer,
        now: DateTime<Utc>,
    ) -> String {
        let id = self.new_id("financingoffer_");
        let market = self.accounts.market(account);
        let own = || default_interval(self.accounts.country(account), new);
        let repayment_interval = new.repayment_interval.or_else(own);
        let new = NewOffer { repayment_interval, ..new.clone() };
        let mut offer = offer_object((&id, account), &new, &market, now);
        offer["livemode"] = self.livemode.into();
        self.offers.push(offer);
        id
    }
}
