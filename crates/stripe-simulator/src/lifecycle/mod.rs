//! The life of an offer after it was made: what the merchant does, and what Stripe's Dashboard can
//! simulate (<https://docs.stripe.com/capital/api-integration>,
//! <https://docs.stripe.com/capital/replacements>). `next_offer` owns what is offered next.

pub(crate) mod next_offer;

use std::str::FromStr;

use serde_json::{Value, json};

use crate::error::ActionError;
use crate::feed::Tone;
use crate::financing::{disbursement, payment, reversal};
use crate::money::format_amount;
use crate::state::change::Change;
use crate::state::offer::{NewOffer, current_terms, is_past_expiry, no_transitions, text};

/// One step in an offer's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The merchant applies.
    Apply,
    /// The application is approved, and the advance is paid out.
    Approve,
    /// The review fails.
    Reject,
    /// The merchant withdraws the application, or gives the financing back within 48 hours of it.
    Cancel,
    /// The offer's time is over.
    Expire,
    /// A better offer replaces it before the merchant applied.
    Replace,
    /// The review leads to another offer in place of the one that was applied for.
    Counter,
    /// The merchant takes another offer that was made beside this one.
    TakeOther,
    /// The merchant pays all that remains, from a bank account.
    Repay,
}

impl FromStr for Action {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|action| action.as_str() == name).ok_or(())
    }
}

impl Action {
    const ALL: [Self; 9] = [
        Self::Apply,
        Self::Approve,
        Self::Reject,
        Self::Cancel,
        Self::Expire,
        Self::Replace,
        Self::Counter,
        Self::TakeOther,
        Self::Repay,
    ];

    /// As in the simulator's URLs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Cancel => "cancel",
            Self::Expire => "expire",
            Self::Replace => "replace",
            Self::Counter => "counter",
            Self::TakeOther => "take_other",
            Self::Repay => "repay",
        }
    }

    fn transition(self) -> Transition {
        let (from, to, event): (&'static [&'static str], _, _) = match self {
            Self::Apply => (&["delivered"], "accepted", "accepted"),
            Self::Approve => (&["accepted"], "paid_out", "paid_out"),
            Self::Reject => (&["accepted"], "rejected", "rejected"),
            Self::Cancel => (&["accepted"], "canceled", "canceled"),
            Self::Expire => (&["undelivered", "delivered"], "expired", "expired"),
            Self::Replace => (&["undelivered", "delivered"], "replaced", "replacement_created"),
            Self::Counter => (&["accepted"], "rejected", "replacement_created"),
            // Stripe documents the event and no status of its own for it.
            Self::TakeOther => {
                (&["undelivered", "delivered"], "accepted_other_offer", "accepted_other_offer")
            }
            Self::Repay => (&["paid_out"], "fully_repaid", "fully_repaid"),
        };
        Transition { from, to, event }
    }
}

struct Transition {
    from: &'static [&'static str],
    to: &'static str,
    /// The end of the event's type.
    event: &'static str,
}

fn not_allowed_in(status: &str) -> ActionError {
    ActionError(format!("an offer that is {status} does not allow this action"))
}

/// Performs an action, if the offer's status allows it, and emits its event.
pub(crate) fn perform(
    change: &mut Change<'_>,
    action: Action,
    id: &str,
) -> Result<(), ActionError> {
    let Transition { from, to, event } = action.transition();
    let offer = change.state.offers.get(id);
    let offer = offer.ok_or_else(|| ActionError::new("there is no such offer"))?;
    let status = offer["status"].as_str().unwrap_or_default();
    if action == Action::Cancel && status == "paid_out" {
        reversal::cancel(change, id)?;
        note(change, action, id);
        return Ok(());
    }
    if !from.contains(&status) {
        return Err(not_allowed_in(status));
    }
    if action == Action::Apply && is_past_expiry(offer, change.now) {
        return Err(ActionError::new("the offer is past its expiry"));
    }
    note(change, action, id);
    match action {
        // The last payment ends the financing, and with it the offer.
        Action::Repay if change.state.ledger.is_active(id) => payment::pay_off(change, id)?,
        Action::Replace => replace(change, id, to, "pre_submission_upgrade"),
        Action::Counter => replace(change, id, to, "post_submission_counteroffer"),
        Action::Apply
        | Action::Approve
        | Action::Reject
        | Action::Cancel
        | Action::Expire
        | Action::TakeOther
        | Action::Repay => {
            change.set_offer_status(id, to);
            change.emit_for_offer(&format!("capital.financing_offer.{event}"), id);
            if action == Action::Approve {
                disbursement::disburse(change, id);
            }
        }
    }
    Ok(())
}

/// Tells the feed what the merchant or Stripe does.
fn note(change: &mut Change<'_>, action: Action, id: &str) {
    let Some(offer) = change.state.offers.get(id) else { return };
    let (account, terms) = (text(&offer["account"]), current_terms(offer));
    let minor = terms["advance_amount"].as_i64().unwrap_or_default();
    let amount = format_amount(minor, terms["currency"].as_str().unwrap_or_default());
    let (words, tone) = match action {
        Action::Apply => (format!("Applied for {amount}"), Tone::Busy),
        Action::Approve => (format!("Stripe approved and paid out {amount}"), Tone::Good),
        Action::Reject => (format!("Stripe rejected the application for {amount}"), Tone::Warn),
        Action::Cancel => (format!("The financing of {amount} was canceled"), Tone::Warn),
        Action::Expire => (format!("The offer of {amount} expired"), Tone::Warn),
        Action::Replace => (format!("Stripe replaced the offer of {amount}"), Tone::Quiet),
        Action::Counter => (format!("Stripe made a counter-offer to {amount}"), Tone::Quiet),
        Action::TakeOther => (format!("Took another offer than that of {amount}"), Tone::Quiet),
        // The payment is noted.
        Action::Repay => return,
    };
    change.note(&account, words, tone);
}

/// Makes an offer and emits its event.
pub(crate) fn create_offer(change: &mut Change<'_>, account: &str, new: &NewOffer) -> String {
    let id = change.state.add_offer(account, new, change.now);
    change.emit_for_offer("capital.financing_offer.created", &id);
    let currency = change.state.accounts.currency(account);
    let amount = format_amount(new.advance_amount, new.currency.as_deref().unwrap_or(&currency));
    let kind = if new.product_type == "refill" { "a refill" } else { "financing" };
    change.note(account, format!("Stripe offers {kind} of {amount}"), Tone::Quiet);
    id
}

/// An undelivered offer becomes delivered. False in any other status, or if there is no such offer.
pub(crate) fn set_delivered(change: &mut Change<'_>, id: &str) -> bool {
    change.state.offers.set_delivered(id, change.now)
}

fn replace(change: &mut Change<'_>, id: &str, status: &str, replacement_type: &str) {
    change.set_offer_status(id, status);
    let replacement_id = change.state.new_id("financingoffer_");
    let created = change.now.timestamp();
    let Some(offer) = change.state.offers.get_mut(id) else { return };
    offer["replacement"] = json!(replacement_id);
    let mut replacement = replacement_of(offer, &replacement_id);
    replacement["replacement_type"] = json!(replacement_type);
    replacement["created"] = json!(created);
    change.state.offers.push(replacement);
    change.state.offers.delivered_at.insert(replacement_id.clone(), created);
    change.emit_for_offer("capital.financing_offer.replacement_created", &replacement_id);
}

/// Twice the advance. A replacement is delivered from the start: Stripe tells the merchant itself.
fn replacement_of(old: &Value, id: &str) -> Value {
    let mut offer = old.clone();
    if let Some(fields) = offer.as_object_mut() {
        fields.remove("accepted_terms");
    }
    offer["status_transitions"] = no_transitions();
    offer["replacement_for"] = old["id"].clone();
    offer["replacement"] = Value::Null;
    offer["id"] = json!(id);
    offer["status"] = json!("delivered");
    offer["offered_terms"]["advance_amount"] =
        json!(old["offered_terms"]["advance_amount"].as_i64().unwrap_or_default() * 2);
    offer
}
