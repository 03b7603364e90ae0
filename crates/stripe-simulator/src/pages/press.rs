//! What a button of the pages does.

use std::sync::Arc;

use super::Pages;
use super::dashboard::{Pressed, pass_time};
use super::situation::Situation;
use super::time_lapse::Span;
use crate::engine::Engine;
use crate::feed::Tone;
use crate::financing::balance::pay_out_sales;
use crate::financing::payment::{collect, pay_manually};
use crate::http::request::Parameters;
use crate::lifecycle::next_offer::make_next_offer;
use crate::lifecycle::{self, Action};
use crate::state::change::Change;
use crate::state::ledger::PaymentSource;

/// The error says why nothing happened.
pub(super) fn press(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    pressed: Pressed<'_>,
    fields: &Parameters,
) -> Result<(), String> {
    match (pressed.subject, pressed.id, pressed.action) {
        ("time", _, "stop") => {
            pages.stop_lapse();
            Ok(())
        }
        ("trouble", name, action @ ("start" | "stop")) => {
            switch(engine, pages, (name, action == "start"), fields)
        }
        _ if pages.lapse_progress().is_some() => {
            Err("time is passing: stop it, or wait until it is over".to_owned())
        }
        ("accounts", account, action) => {
            if !engine.state().accounts.contains(account) {
                return Err("there is no such merchant".to_owned());
            }
            let minor = minor(fields);
            match span(action) {
                Some(span) => pass_time(engine, pages, account, span),
                None => engine.change(|change| act(change, account, action, minor)),
            }
        }
        _ => Err("there is no such button".to_owned()),
    }
}

fn span(action: &str) -> Option<Span> {
    match action {
        "day" => Some(Span::Days(1)),
        "week" => Some(Span::Days(7)),
        "month" => Some(Span::Days(30)),
        "until_paid" => Some(Span::UntilPaid),
        _ => None,
    }
}

/// People write units of the currency, with or without cents.
fn minor(fields: &Parameters) -> i64 {
    let amount = fields.get("amount").and_then(|amount| amount.trim().parse::<f64>().ok());
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and it is checked")]
    let minor = (amount.unwrap_or_default() * 100.0).round() as i64;
    minor
}

fn act(change: &mut Change<'_>, account: &str, action: &str, minor: i64) -> Result<(), String> {
    let situation = Situation::of(change.state, account, change.now);
    match action {
        "pay" if minor <= 0 => Err("the amount must be more than nothing".to_owned()),
        "pay" => {
            let offer = situation.to_pay_minor(minor)?;
            let paid = pay_manually(change, &offer, minor, PaymentSource::Balance);
            paid.map(drop).map_err(|error| error.to_string())
        }
        "collect" => {
            let offer = situation.to_collect()?;
            let collected = collect(change, &offer, minor, PaymentSource::BankAccount);
            collected.map(drop).map_err(|error| error.to_string())
        }
        "pay_out" => {
            let account = situation.to_pay_out()?;
            pay_out_sales(change, &account);
            Ok(())
        }
        "offer" => {
            situation.to_offer()?;
            make_next_offer(change, account).map(drop).map_err(|error| error.to_string())
        }
        action => {
            let action: Action = action.parse().map_err(|()| "there is no such button")?;
            let offer = situation.target(action)?;
            lifecycle::perform(change, action, &offer).map_err(|error| error.to_string())
        }
    }
}

/// The simulator's own troubles, else the host's.
fn switch(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    (name, is_start): (&str, bool),
    fields: &Parameters,
) -> Result<(), String> {
    match name {
        "stripe_down" => {
            engine.set_api_down(is_start);
            let (text, tone) = if is_start {
                ("Stripe is down: its API answers 503", Tone::Bad)
            } else {
                ("Stripe is up again", Tone::Good)
            };
            engine.report(None, text, tone);
            Ok(())
        }
        "events_backwards" => send_backwards(engine, fields.get("account").unwrap_or_default()),
        _ => {
            let troubles = pages.host().troubles;
            let trouble = troubles.iter().find(|trouble| trouble.name == name);
            let trouble = trouble.ok_or("there is no such button")?;
            (trouble.act)(is_start);
            let text = if is_start { Some(&trouble.start) } else { trouble.stop.as_ref() };
            let tone = if is_start { Tone::Bad } else { Tone::Good };
            engine.report(None, text.cloned().unwrap_or_default(), tone);
            Ok(())
        }
    }
}

/// Sends the events of an account's newest offer three times, the newest first.
fn send_backwards(engine: &Arc<Engine>, account: &str) -> Result<(), String> {
    let offer = {
        let state = engine.state();
        let newest = state.offers.of_account(account).next();
        newest.and_then(|offer| offer["id"].as_str()).map(str::to_owned)
    };
    let mut events = engine.events_of(&offer.ok_or("there is no offer, so there are no events")?);
    events.reverse();
    let sent: usize = events
        .iter()
        .cycle()
        .take(3 * events.len())
        .map(|event| engine.send_to_receivers(event))
        .sum();
    if sent == 0 {
        return Err("no endpoint is registered".to_owned());
    }
    let text = format!("Stripe sends {} again, three times and backwards", count(events.len()));
    engine.report(Some(account), text, Tone::Warn);
    Ok(())
}

fn count(events: usize) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{events} events") }
}
