//! What Stripe offers an account next: by its history more than before, less or the same, and
//! beside a financing that is being paid a refill
//! (<https://docs.stripe.com/capital/refills>). The amounts are assumptions.

use serde_json::Value;

use super::create_offer;
use crate::error::ActionError;
use crate::state::State;
use crate::state::change::Change;
use crate::state::offer::{NewOffer, text};
use crate::state::product::{Minimum, PRODUCTS};

/// Of the first offer, minor units.
const FIRST_ADVANCE: i64 = 1_250_000;
/// In hundredths of the advance before.
const REPEAT_PERCENT: i64 = 130;
const REFILL_PERCENT: i64 = 120;
const RETRY_PERCENT: i64 = 110;
/// Of the old financing's remaining fee.
const REFILL_DISCOUNT: f64 = 0.25;

/// Of what kind the next offer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextOffer {
    First,
    /// There were offers, and none was accepted.
    New,
    /// A financing is being paid.
    Refill,
    /// A financing was taken before.
    Repeat,
}

impl NextOffer {
    pub(crate) fn of(state: &State, account: &str) -> Self {
        let mut offers = state.offers.of_account(account);
        let is_taken = |offer: &Value| !offer["status_transitions"]["paid_out_at"].is_null();
        if state.ledger.active(account).next().is_some() {
            Self::Refill
        } else if offers.any(is_taken) {
            Self::Repeat
        } else if state.offers.of_account(account).next().is_some() {
            Self::New
        } else {
            Self::First
        }
    }

    /// Stripe's word for the history.
    fn campaign_type(self) -> &'static str {
        match self {
            Self::First => "newly_eligible_user",
            Self::New => "previously_eligible_user",
            Self::Refill | Self::Repeat => "repeat_user",
        }
    }

    fn percent(self) -> i64 {
        match self {
            Self::First => 100,
            Self::New => RETRY_PERCENT,
            Self::Refill => REFILL_PERCENT,
            Self::Repeat => REPEAT_PERCENT,
        }
    }
}

/// Makes the account's next offer, and its event. Refused while another is open or under review.
pub(crate) fn make_next_offer(
    change: &mut Change<'_>,
    account: &str,
) -> Result<String, ActionError> {
    if !change.state.accounts.contains(account) {
        return Err(ActionError::new("there is no such account"));
    }
    let is_open = |offer: &Value| {
        matches!(offer["status"].as_str(), Some("undelivered" | "delivered" | "accepted"))
    };
    if change.state.offers.of_account(account).any(is_open) {
        return Err(ActionError::new("an offer is open or under review already"));
    }
    let new = next_offer(change.state, account);
    Ok(create_offer(change, account, &new))
}

fn next_offer(state: &State, account: &str) -> NewOffer {
    let kind = NextOffer::of(state, account);
    let default = NewOffer::default();
    let newest = state.offers.of_account(account).next();
    let terms = newest.map_or(&Value::Null, |offer| &offer["offered_terms"]);
    let before = terms["advance_amount"].as_i64().filter(|minor| *minor > 0);
    let advance_amount = round(before.map_or(FIRST_ADVANCE, |minor| minor * kind.percent() / 100));
    let fee_before = terms["fee_amount"].as_i64().zip(before);
    let fee_amount =
        fee_before.map_or(advance_amount / 10, |(fee, advance)| advance_amount * fee / advance);
    NewOffer {
        advance_amount,
        fee_amount,
        withhold_rate: terms["withhold_rate"].as_f64().unwrap_or(default.withhold_rate),
        currency: terms["currency"].as_str().map(str::to_owned),
        product_type: if kind == NextOffer::Refill { "refill" } else { "standard" }.to_owned(),
        financing_type: newest.map_or_else(
            || first_product(state.accounts.country(account)),
            |offer| text(&offer["financing_type"]),
        ),
        campaign_type: kind.campaign_type().to_owned(),
        fee_discount_rate: (kind == NextOffer::Refill).then_some(REFILL_DISCOUNT),
        ..default
    }
}

/// A loan where there is one.
fn first_product(country: &str) -> String {
    let mut of_country = PRODUCTS
        .iter()
        .filter(|product| product.country == country && product.minimum != Minimum::MonthlyPerDraw);
    let loan = of_country.clone().find(|product| product.financing_type == "flex_loan");
    loan.or_else(|| of_country.next()).map_or("flex_loan", |product| product.financing_type).into()
}

/// To whole hundreds of the currency.
fn round(minor: i64) -> i64 {
    ((minor + 5_000) / 10_000 * 10_000).max(10_000)
}
