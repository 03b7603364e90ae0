//! What Stripe's dashboard can simulate, and what a merchant can do: the life of an offer after it was made
//! (<https://docs.stripe.com/capital/api-integration>, <https://docs.stripe.com/capital/replacements>).

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Shared, events};

/// One step in an offer's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    /// The merchant applies.
    Apply,
    /// Approved and paid out.
    Approve,
    /// The review fails.
    Reject,
    /// The merchant takes the application back.
    Cancel,
    /// Nobody applied in time.
    Expire,
    /// A better offer takes its place, before the merchant applied.
    Replace,
    /// The review leads to another offer in place of the one that was applied for.
    Counter,
    /// The merchant takes another offer that was made beside this one.
    TakeOther,
    /// All of it has come back.
    Repay,
}

/// The offer's life does not allow this step.
#[derive(Debug, thiserror::Error)]
#[error("an offer that is {status} cannot go that way")]
pub struct Impossible {
    status: String,
}

impl FromStr for Button {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "apply" => Ok(Self::Apply),
            "approve" => Ok(Self::Approve),
            "reject" => Ok(Self::Reject),
            "cancel" => Ok(Self::Cancel),
            "expire" => Ok(Self::Expire),
            "replace" => Ok(Self::Replace),
            "counter" => Ok(Self::Counter),
            "take_other" => Ok(Self::TakeOther),
            "repay" => Ok(Self::Repay),
            _ => Err(()),
        }
    }
}

impl Button {
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

pub(super) fn press(shared: &Arc<Shared>, button: Button, id: &str) -> Result<(), Impossible> {
    let (from, to, event) = button.step();
    let about = {
        let mut state = shared.state();
        let missing = || Impossible { status: "unknown".to_owned() };
        let status = state.offer(id).ok_or_else(missing)?["status"].as_str().unwrap_or_default().to_owned();
        if !from.contains(&status.as_str()) {
            return Err(Impossible { status });
        }
        let replaces = matches!(button, Button::Replace | Button::Counter);
        let replacement = replaces.then(|| state.new_id("financingoffer_"));
        let offer = state.offer_mut(id).ok_or_else(missing)?;
        offer["status"] = json!(to);
        match replacement {
            None => id.to_owned(),
            Some(replacement) => {
                offer["replacement"] = json!(replacement);
                let better = better(offer, &replacement);
                state.push_offer(better);
                replacement
            }
        }
    };
    events::announce(shared, &format!("capital.financing_offer.{event}"), &about);
    Ok(())
}

/// A replacement is delivered already: Stripe tells the merchant itself.
fn better(old: &Value, id: &str) -> Value {
    let mut offer = old.clone();
    offer["replacement_for"] = old["id"].clone();
    offer["replacement"] = Value::Null;
    offer["id"] = json!(id);
    offer["status"] = json!("delivered");
    offer["offered_terms"]["advance_amount"] =
        json!(old["offered_terms"]["advance_amount"].as_i64().unwrap_or_default() * 2);
    offer
}
