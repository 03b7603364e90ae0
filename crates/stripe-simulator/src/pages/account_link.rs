//! The pages that Account Links open. A link opens once, within five minutes; a later or second
//! visitor is sent to `refresh_url`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use minijinja::context;
use serde_json::Value;

use super::dashboard::name;
use super::{ACCOUNT_LINK, render};
use crate::engine::Engine;
use crate::feed::Tone;
use crate::financing::summary::summarize;
use crate::http::response::ApiResponse;
use crate::lifecycle::{self, Action};
use crate::money::{format_amount, format_rate};
use crate::state::State;
use crate::state::account_link::LinkType;
use crate::state::offer::{current_terms, text};

fn no_such_link() -> ApiResponse {
    ApiResponse::html(404, "There is no such link.".to_owned())
}

pub(super) fn open(engine: &Engine, secret: &str) -> ApiResponse {
    let now = engine.time.now();
    let mut state = engine.state();
    let Some(link) = state.links.get_mut(secret) else { return no_such_link() };
    if link.is_opened || now >= link.expires_at {
        return ApiResponse::see_other(&link.refresh_url);
    }
    link.is_opened = true;
    let (kind, account) = (link.kind, link.account.clone());
    let (refresh_url, return_url) = (link.refresh_url.clone(), link.return_url.clone());
    // The offer may be over since the link was made.
    let Some(offer) = kind.offer(&state.offers, &account, now) else {
        return ApiResponse::see_other(&refresh_url);
    };
    let (status, tone) = status(offer);
    let page = context! {
        // Safe in the page as it is: a secret that was found is one that we made.
        apply_url => (kind == LinkType::Application)
            .then(|| format!("/_connect/capital/{secret}/apply")),
        return_url,
        merchant => name(&state, &account), status, tone,
        open_until => open_until(offer), ..terms_and_progress(&state, offer, &account, now)
    };
    drop(state);
    let opened = match kind {
        LinkType::Application => "Opened the application at Stripe",
        LinkType::Reporting => "Opened the financing at Stripe",
    };
    engine.report(Some(&account), opened, Tone::Quiet);
    render(ACCOUNT_LINK, page)
}

/// A status in a merchant's words, and the class of its mark.
fn status(offer: &Value) -> (String, &'static str) {
    let (words, tone) = match offer["status"].as_str().unwrap_or_default() {
        "delivered" => ("Offer open", "busy"),
        "accepted" => ("Under review", "busy"),
        "paid_out" => ("In progress", "busy"),
        "fully_repaid" => ("Paid in full", "good"),
        "rejected" => ("Not approved", "bad"),
        "canceled" => ("Canceled", "quiet"),
        other => return (other.replace('_', " "), "quiet"),
    };
    (words.to_owned(), tone)
}

fn open_until(offer: &Value) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "Stripe sends this time as a float")]
    let seconds = offer["expires_after"].as_f64().unwrap_or_default() as i64;
    let until = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    until.format("%-d %B %Y").to_string()
}

/// Rounded down: it is 100 once all is paid, and not before.
fn percent(paid: i64, remaining: i64) -> i64 {
    paid * 100 / (paid + remaining).max(1)
}

fn terms_and_progress(
    state: &State,
    offer: &Value,
    account: &str,
    now: DateTime<Utc>,
) -> minijinja::Value {
    let terms = current_terms(offer);
    let currency = text(&terms["currency"]);
    let minor = |value: &Value| value.as_i64().unwrap_or_default();
    let amount = |value: &Value| format_amount(minor(value), &currency);
    let summary = summarize(state, account, now);
    let is_running = summary["financing_offer"] == offer["id"] && offer["status"] == "paid_out";
    let progress = is_running.then(|| {
        let details = &summary["details"];
        context! {
            paid => amount(&details["paid_amount"]),
            remaining => amount(&details["remaining_amount"]),
            percent => percent(minor(&details["paid_amount"]), minor(&details["remaining_amount"])),
        }
    });
    let of_offer = |transaction: &&Value| transaction["financing_offer"] == offer["id"];
    let transactions = state.transactions.get(account).into_iter().flatten().rev();
    let transactions = transactions.filter(of_offer).map(|transaction| {
        let at = DateTime::from_timestamp(minor(&transaction["created_at"]), 0);
        let details = &transaction["details"];
        // The merchant gets the advance, and what they pay counts down.
        let shown = match transaction["type"].as_str() {
            Some("payout") => minor(&details["advance_amount"]),
            Some("payment") => -minor(&details["total_amount"]),
            _ => minor(&details["total_amount"]),
        };
        context! {
            at => at.unwrap_or_default().format("%-d %B %Y").to_string(),
            description => text(&transaction["user_facing_description"]),
            amount => format_amount(shown, &currency),
        }
    });
    let total = minor(&terms["advance_amount"]) + minor(&terms["fee_amount"]);
    let rate = terms["withhold_rate"].as_f64().unwrap_or_default();
    context! {
        advance => amount(&terms["advance_amount"]),
        fee => amount(&terms["fee_amount"]),
        total => format_amount(total, &currency),
        rate => format_rate(rate),
        progress,
        transactions => transactions.collect::<Vec<_>>(),
    }
}

/// The merchant applies. The page must have been opened; the link is used up.
pub(super) fn apply(engine: &Arc<Engine>, secret: &str) -> ApiResponse {
    let (link, offer) = {
        let mut state = engine.state();
        let Some(link) = state.links.remove(secret) else { return no_such_link() };
        let was_shown = link.is_opened && link.kind == LinkType::Application;
        let offer = LinkType::Application.offer(&state.offers, &link.account, engine.time.now());
        let offer = offer.filter(|_| was_shown).map(|offer| text(&offer["id"]));
        (link, offer)
    };
    let apply =
        |offer: String| engine.change(|change| lifecycle::perform(change, Action::Apply, &offer));
    match offer.map(apply) {
        Some(Ok(())) => ApiResponse::see_other(&link.return_url),
        Some(Err(_)) | None => ApiResponse::see_other(&link.refresh_url),
    }
}
