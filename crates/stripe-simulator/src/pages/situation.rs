//! What is possible for an account now: the offer that each action is about, or why there is none.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::lifecycle::Action;
use crate::lifecycle::next_offer::NextOffer;
use crate::money::format_amount;
use crate::state::State;
use crate::state::balance::Fund;
use crate::state::ledger::Financing;
use crate::state::offer::{is_past_expiry, text};
use crate::state::product::{Minimum, Product};

/// How long an application or a financing can be canceled.
const CANCELABLE: TimeDelta = TimeDelta::hours(48);

pub(super) struct Situation<'a> {
    pub(super) state: &'a State,
    pub(super) account: &'a str,
    pub(super) now: DateTime<Utc>,
    /// The newest offer that can be applied for, or will be once its letter is out.
    pub(super) open: Option<&'a Value>,
    /// The offer that was applied for.
    pub(super) applied: Option<&'a Value>,
    /// The oldest financing that is being paid.
    pub(super) financing: Option<&'a Financing>,
}

/// The offer that an action is about, or a sentence that says why it is not possible.
pub(super) type Target = Result<String, String>;

impl<'a> Situation<'a> {
    pub(super) fn of(state: &'a State, account: &'a str, now: DateTime<Utc>) -> Self {
        let newest = |statuses: &'static [&'static str]| {
            let is_one = |offer: &&Value| {
                offer["status"].as_str().is_some_and(|status| statuses.contains(&status))
            };
            state.offers.of_account(account).find(is_one)
        };
        Self {
            state,
            account,
            now,
            open: newest(&["undelivered", "delivered"]),
            applied: newest(&["accepted"]),
            financing: state.ledger.active(account).next(),
        }
    }

    pub(super) fn target(&self, action: Action) -> Target {
        match action {
            Action::Apply => self.to_apply(),
            Action::Approve | Action::Reject | Action::Counter => self.under_review(),
            Action::Cancel => self.to_cancel(),
            Action::Expire | Action::Replace | Action::TakeOther => self.open_offer(),
            Action::Repay => self.active().map(|financing| financing.offer.clone()),
        }
    }

    fn open_offer(&self) -> Target {
        self.open.map(|offer| text(&offer["id"])).ok_or_else(|| match self.applied {
            Some(_) => "they have applied already".to_owned(),
            None => "there is no open offer".to_owned(),
        })
    }

    fn to_apply(&self) -> Target {
        let id = self.open_offer()?;
        let offer = self.open.unwrap_or(&Value::Null);
        if offer["status"] == "undelivered" {
            return Err("the email must reach them first".to_owned());
        }
        if is_past_expiry(offer, self.now) {
            return Err("the offer has expired".to_owned());
        }
        Ok(id)
    }

    fn under_review(&self) -> Target {
        let applied = self.applied.map(|offer| text(&offer["id"]));
        applied.ok_or_else(|| "no application is under review".to_owned())
    }

    fn to_cancel(&self) -> Target {
        if let Ok(applied) = self.under_review() {
            return Ok(applied);
        }
        let newest = self.state.ledger.active(self.account).next_back();
        let newest = newest.ok_or("there is no application and no financing")?;
        if newest.changed_another {
            return Err("the refill settled the financing before it".to_owned());
        }
        let offer = self.state.offers.get(&newest.offer).unwrap_or(&Value::Null);
        let applied_at = offer["status_transitions"]["accepted_at"].as_i64().unwrap_or_default();
        if self.now.timestamp() - applied_at > CANCELABLE.num_seconds() {
            return Err("more than 48 hours have passed since the application".to_owned());
        }
        Ok(newest.offer.clone())
    }

    pub(super) fn active(&self) -> Result<&'a Financing, String> {
        self.financing.ok_or_else(|| "nothing is being paid".to_owned())
    }

    /// To pay from the balance, which sales fill and a payout empties each week.
    pub(super) fn to_pay(&self) -> Target {
        let financing = self.active()?;
        if self.available() <= 0 {
            return Err("the balance is empty: let a day pass".to_owned());
        }
        Ok(financing.offer.clone())
    }

    /// As [`Situation::to_pay`], if the balance has so much.
    pub(super) fn to_pay_minor(&self, minor: i64) -> Target {
        let offer = self.to_pay()?;
        if minor > self.available() {
            let available = format_amount(self.available(), &self.currency());
            return Err(format!("the balance has only {available}"));
        }
        Ok(offer)
    }

    pub(super) fn to_collect(&self) -> Target {
        let financing = self.active()?;
        let offer = self.state.offers.get(&financing.offer).unwrap_or(&Value::Null);
        let country = self.state.accounts.country(self.account);
        match Product::find(country, &text(&offer["financing_type"])) {
            Some(product) if product.minimum == Minimum::Never => {
                Err("this product has no minimum to collect".to_owned())
            }
            Some(product) if product.bank_debit == Some(false) => {
                Err("this product is not debited from a bank account".to_owned())
            }
            Some(_) | None => Ok(financing.offer.clone()),
        }
    }

    pub(super) fn to_pay_out(&self) -> Result<String, String> {
        if self.available() > 0 {
            return Ok(self.account.to_owned());
        }
        Err("there are no sales to pay out".to_owned())
    }

    pub(super) fn to_offer(&self) -> Result<NextOffer, String> {
        match (self.open, self.applied) {
            (Some(_), _) => Err("an offer is open already; let it expire first".to_owned()),
            (None, Some(_)) => Err("an application is under review".to_owned()),
            (None, None) => Ok(NextOffer::of(self.state, self.account)),
        }
    }

    pub(super) fn until_paid(&self) -> Result<(), String> {
        match (self.financing, self.applied) {
            (Some(_), _) | (None, Some(_)) => Ok(()),
            (None, None) => self.to_apply().map(drop),
        }
    }

    /// Sales that were not paid out, in minor units.
    pub(super) fn available(&self) -> i64 {
        let balance = self.state.balances.get(self.account);
        balance.map_or(0, |balance| balance.available(&self.currency(), Fund::Sales))
    }

    pub(super) fn currency(&self) -> String {
        self.state.accounts.currency(self.account)
    }
}
