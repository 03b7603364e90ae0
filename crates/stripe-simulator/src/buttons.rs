//! What Stripe's dashboard can simulate, and what a merchant can do: the life of an offer after it was made
//! (<https://docs.stripe.com/capital/api-integration>, <https://docs.stripe.com/capital/replacements>).

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::events::{self, Act};
use super::state::no_transitions;
use super::{Shared, financing};

/// One step in an offer's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    /// The merchant applies.
    Apply,
    /// Approved and paid out.
    Approve,
    /// The review fails.
    Reject,
    /// The merchant takes the application back, or the financing within 48 hours of applying.
    Cancel,
    /// Nobody applied in time.
    Expire,
    /// A better offer takes its place, before the merchant applied.
    Replace,
    /// The review leads to another offer in place of the one that was applied for.
    Counter,
    /// The merchant takes another offer that was made beside this one.
    TakeOther,
    /// The merchant pays all that is left, from a bank account.
    Repay,
}

/// What was asked for cannot happen; says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(pub(crate) String);

impl Impossible {
    pub(crate) fn in_status(status: &str) -> Self {
        Self(format!("an offer that is {status} cannot go that way"))
    }
}

impl FromStr for Button {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|button| button.name() == name).ok_or(())
    }
}

impl Button {
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

    /// As in the simulator's addresses.
    pub(crate) fn name(self) -> &'static str {
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

    /// What can be pressed in a status. A financing that was paid out can be taken back for 48 hours only.
    pub(crate) fn possible_in(status: &str) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |button| {
            button.step().0.contains(&status) || *button == Self::Cancel && status == "paid_out"
        })
    }

    /// The statuses it can be pressed in, the status that follows, and the event that says so.
    fn step(self) -> (&'static [&'static str], &'static str, &'static str) {
        match self {
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
        }
    }
}

pub(crate) fn press(shared: &Arc<Shared>, button: Button, id: &str) -> Result<(), Impossible> {
    events::act(shared, |act| {
        let (from, to, event) = button.step();
        let offer = act.state.offer(id).ok_or_else(|| Impossible::in_status("unknown"))?;
        let status = offer["status"].as_str().unwrap_or_default();
        if button == Button::Cancel && status == "paid_out" {
            return financing::reversal::cancel(act, id);
        }
        if !from.contains(&status) {
            return Err(Impossible::in_status(status));
        }
        match button {
            // The last payment ends the financing, and so the offer.
            Button::Repay if act.state.books.is_under_way(id) => {
                financing::paydown::pay_off(act, id)
            }
            Button::Replace => replace(act, id, to, "pre_submission_upgrade"),
            Button::Counter => replace(act, id, to, "post_submission_counteroffer"),
            Button::Apply
            | Button::Approve
            | Button::Reject
            | Button::Cancel
            | Button::Expire
            | Button::TakeOther
            | Button::Repay => {
                enter(act, id, to);
                act.tell_of(&format!("capital.financing_offer.{event}"), id);
                if button == Button::Approve {
                    financing::payout::disburse(act, id);
                }
                Ok(())
            }
        }
    })
}

/// Gives an offer its next status, and what goes with it. A second call changes the time alone.
pub(crate) fn enter(act: &mut Act<'_>, id: &str, status: &str) {
    let now = act.now.timestamp();
    let Some(offer) = act.state.offer_mut(id) else { return };
    offer["status"] = json!(status);
    if let Some(time) = offer["status_transitions"].get_mut(format!("{status}_at")) {
        *time = json!(now);
    }
    if matches!(status, "accepted" | "paid_out") && offer["accepted_terms"].is_null() {
        let offered = &offer["offered_terms"];
        // Stripe says that these may differ from what was offered; here they never do.
        offer["accepted_terms"] = json!({
            "advance_amount": offered["advance_amount"], "currency": offered["currency"],
            "fee_amount": offered["fee_amount"], "previous_financing_fee_discount_amount": null,
            "withhold_rate": offered["withhold_rate"],
        });
    }
}

fn replace(act: &mut Act<'_>, id: &str, status: &str, how: &str) -> Result<(), Impossible> {
    enter(act, id, status);
    let replacement = act.state.new_id("financingoffer_");
    let now = act.now;
    let offer = act.state.offer_mut(id).ok_or_else(|| Impossible::in_status("unknown"))?;
    offer["replacement"] = json!(replacement);
    let mut better = better(offer, &replacement);
    better["replacement_type"] = json!(how);
    better["created"] = json!(now.timestamp());
    act.state.push_offer(better);
    act.tell_of("capital.financing_offer.replacement_created", &replacement);
    Ok(())
}

/// A replacement is delivered already: Stripe tells the merchant itself.
fn better(old: &Value, id: &str) -> Value {
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
