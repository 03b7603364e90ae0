//! Days of a merchant, while a browser waits. Before the clock moves every event has arrived, so
//! that none is refused for its age.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use rand::RngExt;
use serde_json::Value;

use super::Pages;
use crate::engine::Engine;
use crate::error::ActionError;
use crate::financing::balance::pay_out_sales;
use crate::financing::charge::{ChargeKind, NewCharge, charge, refund};
use crate::lifecycle::{self, Action};
use crate::state::offer::{NewOffer, text};

#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    Days(u32),
    /// From an offer to its last payment, a year at most, and to the offer after that.
    Year,
}

/// Sales are such that a financing takes about nine months.
const DAYS_OF_A_FINANCING: f64 = 270.0;
/// After this time the simulated Stripe tells the merchant of an offer itself.
const MAX_WAIT_FOR_DELIVERY: Duration = Duration::from_secs(15);
/// How often to look whether the platform marked an offer as delivered.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Starts a time lapse. The page shows when it is over.
pub(super) fn start(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    account: &str,
    span: Span,
) -> Result<(), ActionError> {
    if !engine.state().accounts.contains(account) {
        return Err(ActionError::new("there is no such account"));
    }
    if pages.time_lapse_is_running.swap(true, Ordering::SeqCst) {
        return Err(ActionError::new("a time lapse is running already"));
    }
    let (running, pages, account) = (Arc::clone(engine), Arc::clone(pages), account.to_owned());
    engine.tasks.spawn(async move {
        // An action that became impossible ends it early. The page shows how far it came.
        let _ = run(&running, &account, span).await;
        pages.time_lapse_is_running.store(false, Ordering::SeqCst);
    });
    Ok(())
}

async fn run(engine: &Arc<Engine>, account: &str, span: Span) -> Result<(), ActionError> {
    match span {
        Span::Days(days) => {
            for number in 1..=days {
                day(engine, account, number).await;
            }
            Ok(())
        }
        Span::Year => year(engine, account).await,
    }
}

async fn year(engine: &Arc<Engine>, account: &str) -> Result<(), ActionError> {
    let offer = take_offer(engine, account).await?;
    for number in 1..=365 {
        day(engine, account, number).await;
        if status(engine, &offer) == "fully_repaid" {
            let next = repeat_offer(engine, account)?;
            engine.deliveries_finished().await;
            wait_until_delivered(engine, &next).await;
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the offer of the active financing. Without one the merchant applies, and is approved.
async fn take_offer(engine: &Arc<Engine>, account: &str) -> Result<String, ActionError> {
    let newest = {
        let state = engine.state();
        let newest = state.offers.of_account(account).next();
        newest.map(|offer| (text(&offer["id"]), text(&offer["status"])))
    };
    let is_open =
        |status: &str| matches!(status, "undelivered" | "delivered" | "accepted" | "paid_out");
    let offer = match newest {
        Some((id, status)) if is_open(&status) => id,
        Some(_) | None => repeat_offer(engine, account)?,
    };
    wait_until_delivered(engine, &offer).await;
    for (before, action) in [("delivered", Action::Apply), ("accepted", Action::Approve)] {
        if status(engine, &offer) == before {
            engine.deliveries_finished().await;
            engine.time.advance(TimeDelta::days(1));
            engine.change(|change| lifecycle::perform(change, action, &offer))?;
        }
    }
    Ok(offer)
}

async fn wait_until_delivered(engine: &Arc<Engine>, offer: &str) {
    let deadline = tokio::time::Instant::now() + MAX_WAIT_FOR_DELIVERY;
    while status(engine, offer) == "undelivered" {
        if tokio::time::Instant::now() > deadline {
            engine.change(|change| lifecycle::set_delivered(change, offer));
            return;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A sale, now and then a refund of a part of it, and each week a payout to the bank.
async fn day(engine: &Arc<Engine>, account: &str, number: u32) {
    engine.deliveries_finished().await;
    engine.time.advance(TimeDelta::days(1));
    let amount = daily_sales(engine, account) * rand::rng().random_range(60..140) / 100;
    let sale = NewCharge { amount, kind: ChargeKind::Direct { application_fee: amount / 50 } };
    engine.change(|change| {
        let outcome = charge(change, account, &sale);
        if let Ok(outcome) = outcome
            && number.is_multiple_of(23)
        {
            // It cannot fail: the charge is new, and this is a part of it.
            let _ = refund(change, &outcome.charge, amount / 4);
        }
        if number.is_multiple_of(7) {
            pay_out_sales(change, account);
        }
    });
    engine.deliveries_finished().await;
}

/// By the terms of the newest offer.
fn daily_sales(engine: &Engine, account: &str) -> i64 {
    let state = engine.state();
    let newest = state.offers.of_account(account).next();
    let Some(terms) = newest.map(|offer| &offer["offered_terms"]) else { return 10_000 };
    let amount = |name: &str| terms[name].as_f64().unwrap_or(0.0);
    let total = amount("advance_amount") + amount("fee_amount");
    let rate = terms["withhold_rate"].as_f64().filter(|rate| *rate > 0.0).unwrap_or(0.15);
    #[expect(clippy::cast_possible_truncation, reason = "sales of a demonstration, far below 2^53")]
    let sales = (total / rate / DAYS_OF_A_FINANCING) as i64;
    sales.max(100)
}

fn status(engine: &Engine, offer: &str) -> String {
    engine.state().offers.get(offer).map(|offer| text(&offer["status"])).unwrap_or_default()
}

/// Makes an offer with the terms of the newest one. Beside an active financing it is a refill.
pub(super) fn repeat_offer(engine: &Arc<Engine>, account: &str) -> Result<String, ActionError> {
    engine.change(|change| {
        if !change.state.accounts.contains(account) {
            return Err(ActionError::new("there is no such account"));
        }
        let is_refill = change.state.ledger.active(account).next().is_some();
        let new = next_offer(change.state.offers.of_account(account).next(), is_refill);
        Ok(lifecycle::create_offer(change, account, &new))
    })
}

fn next_offer(newest: Option<&Value>, is_refill: bool) -> NewOffer {
    let default = NewOffer::default();
    let minor = |name: &str| newest.and_then(|offer| offer["offered_terms"][name].as_i64());
    NewOffer {
        advance_amount: minor("advance_amount").unwrap_or(default.advance_amount),
        fee_amount: minor("fee_amount").unwrap_or(default.fee_amount),
        product_type: if is_refill { "refill".to_owned() } else { default.product_type },
        financing_type: newest
            .map_or(default.financing_type, |offer| text(&offer["financing_type"])),
        currency: newest.map(|offer| text(&offer["offered_terms"]["currency"])),
        ..NewOffer::default()
    }
}
