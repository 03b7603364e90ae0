//! Days of a merchant, played while a browser waits. Before the clock moves, every event has arrived, so none is refused for its age.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rand::RngExt;
use serde_json::Value;

use super::buttons::{self, Button, Impossible};
use super::financing::{self, Charge, ChargeKind};
use super::link::word;
use super::state::NewOffer;
use super::{Shared, events};

/// How much is played.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Span {
    Days(u32),
    /// From an offer to its last payment, a year at most, and to the offer after that.
    Year,
}

/// Sales are such that a financing takes nine months.
const DAYS_OF_A_FINANCING: f64 = 270.0;
/// Where the service tells nobody of an offer, the simulated Stripe does it then.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// How often to look whether the service has told the merchant.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Begins to play. The page says when it is over.
pub(crate) fn start(shared: &Arc<Shared>, account: &str, span: Span) -> Result<(), Impossible> {
    {
        let mut state = shared.state();
        if !state.accounts.contains_key(account) {
            return Err(Impossible("there is no such account".to_owned()));
        }
        if std::mem::replace(&mut state.is_playing, true) {
            return Err(Impossible("days are being played already".to_owned()));
        }
    }
    let (playing, account) = (Arc::clone(shared), account.to_owned());
    shared.tracker.spawn(async move {
        // What has become impossible on the way ends the play; the page shows where it stands.
        let _ = play(&playing, &account, span).await;
        playing.state().is_playing = false;
    });
    Ok(())
}

async fn play(shared: &Arc<Shared>, account: &str, span: Span) -> Result<(), Impossible> {
    match span {
        Span::Days(days) => {
            for number in 1..=days {
                day(shared, account, number).await;
            }
            Ok(())
        }
        Span::Year => year(shared, account).await,
    }
}

async fn year(shared: &Arc<Shared>, account: &str) -> Result<(), Impossible> {
    let offer = take_up(shared, account).await?;
    for number in 1..=365 {
        day(shared, account, number).await;
        if status(shared, &offer) == "fully_repaid" {
            let next = self::offer(shared, account)?;
            shared.settled().await;
            delivered(shared, &next).await;
            return Ok(());
        }
    }
    Ok(())
}

/// The offer whose financing runs: where none does, the merchant applies for one, and gets it.
async fn take_up(shared: &Arc<Shared>, account: &str) -> Result<String, Impossible> {
    let newest = shared
        .state()
        .newest_offer(account)
        .map(|offer| (word(&offer["id"]), word(&offer["status"])));
    let offer = match newest {
        Some((id, status))
            if matches!(status.as_str(), "undelivered" | "delivered" | "accepted" | "paid_out") =>
        {
            id
        }
        Some(_) | None => self::offer(shared, account)?,
    };
    delivered(shared, &offer).await;
    for (before, button) in [("delivered", Button::Apply), ("accepted", Button::Approve)] {
        if status(shared, &offer) == before {
            shared.settled().await;
            shared.clock.advance(TimeDelta::days(1));
            buttons::press(shared, button, &offer)?;
        }
    }
    Ok(offer)
}

async fn delivered(shared: &Shared, offer: &str) {
    let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
    while status(shared, offer) == "undelivered" {
        if tokio::time::Instant::now() > deadline {
            if let Some(offer) = shared.state().offer_mut(offer) {
                offer["status"] = "delivered".into();
            }
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A sale, now and then a refund of a part of it, and each week a payout to the bank.
async fn day(shared: &Arc<Shared>, account: &str, number: u32) {
    shared.settled().await;
    shared.clock.advance(TimeDelta::days(1));
    let amount = usual_sales(shared, account) * rand::rng().random_range(60..140) / 100;
    let sale = Charge { amount, kind: ChargeKind::Direct { application_fee: amount / 50 } };
    events::act(shared, |act| {
        let charged = financing::charge::charge(act, account, &sale);
        if let Ok(charged) = charged
            && number.is_multiple_of(23)
        {
            // A part of a sale of this moment can go back.
            let _ = financing::charge::refund(act, &charged.charge, amount / 4);
        }
        if number.is_multiple_of(7) {
            financing::balance::pay_out(act, account);
        }
    });
    shared.settled().await;
}

/// A day's, by the terms of the newest offer.
fn usual_sales(shared: &Shared, account: &str) -> i64 {
    let state = shared.state();
    let Some(terms) = state.newest_offer(account).map(|offer| &offer["offered_terms"]) else {
        return 10_000;
    };
    let total = terms["advance_amount"].as_f64().unwrap_or(0.0)
        + terms["fee_amount"].as_f64().unwrap_or(0.0);
    let rate = terms["withhold_rate"].as_f64().filter(|rate| *rate > 0.0).unwrap_or(0.15);
    #[expect(clippy::cast_possible_truncation, reason = "sales of a demonstration, far below 2^53")]
    let usual = (total / rate / DAYS_OF_A_FINANCING) as i64;
    usual.max(100)
}

fn status(shared: &Shared, offer: &str) -> String {
    shared.state().offer(offer).map(|offer| word(&offer["status"])).unwrap_or_default()
}

/// An offer by the terms of the newest. Beside a financing it is a refill.
pub(crate) fn offer(shared: &Arc<Shared>, account: &str) -> Result<String, Impossible> {
    events::act(shared, |act| {
        if !act.state.accounts.contains_key(account) {
            return Err(Impossible("there is no such account".to_owned()));
        }
        let new = next(
            act.state.newest_offer(account),
            !act.state.books.left_under_way(account).is_empty(),
        );
        let id = act.state.add_offer(account, &new, act.now);
        act.tell_of("capital.financing_offer.created", &id);
        Ok(id)
    })
}

fn next(newest: Option<&Value>, is_refill: bool) -> NewOffer {
    let usual = NewOffer::default();
    let minor = |name: &str| newest.and_then(|offer| offer["offered_terms"][name].as_i64());
    NewOffer {
        advance_amount: minor("advance_amount").unwrap_or(usual.advance_amount),
        fee_amount: minor("fee_amount").unwrap_or(usual.fee_amount),
        product_type: if is_refill { "refill".to_owned() } else { usual.product_type },
        financing_type: newest.map_or(usual.financing_type, |offer| word(&offer["financing_type"])),
        currency: newest.map(|offer| word(&offer["offered_terms"]["currency"])),
        ..NewOffer::default()
    }
}
