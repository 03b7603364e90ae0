//! Account Links (<https://docs.stripe.com/api/account_links>), and the pages that they open: simulated ones, on the simulator's own
//! origin. A link opens once, within five minutes; who comes late or twice is sent to `refresh_url`.
//!
//! What Stripe answers where there is nothing to apply for, or nothing to report, is not documented: here it is an error.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use minijinja::{Environment, context};
use serde_json::{Value, json};
use url::Url;

use super::answer::Answer;
use super::api::Asked;
use super::buttons::{self, Button};
use super::state::State;
use super::{Shared, financing};

/// As in Stripe's examples.
const LASTS: TimeDelta = TimeDelta::seconds(300);

const TEMPLATE: (&str, &str) =
    ("account_link.html", include_str!("../templates/account_link.html"));

pub(crate) struct Link {
    account: String,
    to: To,
    refresh_url: String,
    return_url: String,
    expires_at: DateTime<Utc>,
    is_opened: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Application,
    Reporting,
}

/// `POST /v1/account_links`.
pub(crate) fn create(shared: &Shared, asked: &Asked) -> Answer {
    let given: HashMap<String, String> =
        url::form_urlencoded::parse(&asked.body).into_owned().collect();
    let link = match read(shared, &given) {
        Ok(link) => link,
        Err(refused) => return refused,
    };
    let secret = hex::encode(rand::random::<[u8; 16]>());
    let answer = json!({
        "object": "account_link", "created": shared.clock.now().timestamp(), "expires_at": link.expires_at.timestamp(),
        "url": format!("{}_connect/capital/{secret}", shared.origin),
    });
    shared.state().links.insert(secret, link);
    Answer::ok(answer)
}

fn read(shared: &Shared, given: &HashMap<String, String>) -> Result<Link, Answer> {
    const KNOWN: [&str; 5] = ["account", "type", "refresh_url", "return_url", "collect"];
    let is_known = |name: &str| KNOWN.contains(&name) || name.starts_with("collection_options[");
    if let Some(name) = given.keys().find(|name| !is_known(name)) {
        let message = format!("Received unknown parameter: {name}");
        return Err(Answer::invalid(Some("parameter_unknown"), &message).about(name));
    }
    let needed = |name: &str| {
        let missing = || {
            let message = format!("Missing required param: {name}.");
            Answer::invalid(Some("parameter_missing"), &message).about(name)
        };
        given.get(name).filter(|value| !value.is_empty()).cloned().ok_or_else(missing)
    };
    let address = |name: &str| {
        let given = needed(name)?;
        let url = Url::parse(&given).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.map(String::from)
            .ok_or_else(|| Answer::invalid(Some("url_invalid"), "Not a valid URL").about(name))
    };
    let account = needed("account")?;
    let to = match needed("type")?.as_str() {
        "capital_financing_offer" => To::Application,
        "capital_financing_reporting" => To::Reporting,
        other => {
            let message = format!(
                "Invalid type: {other}. Of Stripe's account links this simulator has capital_financing_offer and \
                 capital_financing_reporting."
            );
            return Err(Answer::invalid(None, &message).about("type"));
        }
    };
    let (refresh_url, return_url) = (address("refresh_url")?, address("return_url")?);
    let now = shared.clock.now();
    let state = shared.state();
    if !state.accounts.contains_key(&account) {
        return Err(Answer::invalid(
            Some("resource_missing"),
            &format!("No such account: '{account}'"),
        )
        .about("account"));
    }
    if shown_offer(&state, &account, to, now).is_none() {
        let message = match to {
            To::Application => "This account has no financing offer that is open.",
            To::Reporting => "This account has no financing to report on.",
        };
        return Err(Answer::invalid(None, message).about("account"));
    }
    Ok(Link { account, to, refresh_url, return_url, expires_at: now + LASTS, is_opened: false })
}

/// The offer that a page is about: the newest that it could be.
fn shown_offer<'a>(
    state: &'a State,
    account: &str,
    to: To,
    now: DateTime<Utc>,
) -> Option<&'a Value> {
    let is_open = |offer: &Value| {
        #[expect(clippy::cast_precision_loss, reason = "Stripe sends this time as a float too")]
        let now = now.timestamp() as f64;
        offer["status"] == "delivered"
            && offer["expires_after"].as_f64().is_none_or(|end| now < end)
    };
    let began = |offer: &Value| {
        matches!(
            offer["status"].as_str(),
            Some("accepted" | "paid_out" | "fully_repaid" | "canceled" | "rejected")
        )
    };
    let mut offers = state.offers.iter().rev().filter(|offer| offer["account"] == account);
    offers.find(|offer| match to {
        To::Application => is_open(offer),
        To::Reporting => began(offer),
    })
}

/// `/_connect/capital/<secret>`, and the form on its page.
pub(crate) fn answer(shared: &Arc<Shared>, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["_connect", "capital", secret]) => open(shared, secret),
        ("POST", ["_connect", "capital", secret, "apply"]) => apply(shared, secret),
        _ => Answer::html(404, "No such page.".to_owned()),
    }
}

fn open(shared: &Shared, secret: &str) -> Answer {
    let now = shared.clock.now();
    let mut state = shared.state();
    let Some(link) = state.links.get_mut(secret) else {
        return Answer::html(404, "No such link.".to_owned());
    };
    if link.is_opened || now >= link.expires_at {
        return Answer::see_other(&link.refresh_url);
    }
    link.is_opened = true;
    let (to, account, refresh_url) = (link.to, link.account.clone(), link.refresh_url.clone());
    let return_url = link.return_url.clone();
    let Some(offer) = shown_offer(&state, &account, to, now).cloned() else {
        return Answer::see_other(&refresh_url);
    };
    let page = context! {
        // Safe in the page as it is: the secret that was found is one that we made.
        apply_to => (to == To::Application).then(|| format!("/_connect/capital/{secret}/apply")),
        return_url,
        merchant => word(&state.accounts[&account]["business_profile"]["name"]),
        status => word(&offer["status"]).replace('_', " "),
        ..facts(&state, &offer, &account, now)
    };
    drop(state);
    match render(page) {
        Ok(page) => Answer::html(200, page),
        Err(error) => Answer::html(500, error.to_string()),
    }
}

pub(crate) fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn facts(state: &State, offer: &Value, account: &str, now: DateTime<Utc>) -> minijinja::Value {
    let terms = if offer["accepted_terms"].is_null() {
        &offer["offered_terms"]
    } else {
        &offer["accepted_terms"]
    };
    let currency = word(&terms["currency"]);
    let amount = |value: &Value| written(value.as_i64().unwrap_or_default(), &currency);
    let total = |terms: &Value| {
        terms["advance_amount"].as_i64().unwrap_or_default()
            + terms["fee_amount"].as_i64().unwrap_or_default()
    };
    let summary = financing::summary_of(state, account, now);
    let standing = (summary["financing_offer"] == offer["id"] && offer["status"] == "paid_out").then(|| {
        let details = &summary["details"];
        context! { paid => amount(&details["paid_amount"]), remaining => amount(&details["remaining_amount"]) }
    });
    let its_own = |transaction: &&Value| transaction["financing_offer"] == offer["id"];
    let rows = state.transactions.get(account).into_iter().flatten().rev().filter(its_own).map(
        |transaction| {
            let at =
                DateTime::from_timestamp(transaction["created_at"].as_i64().unwrap_or_default(), 0);
            context! {
                at => at.unwrap_or_default().format("%Y-%m-%d %H:%M UTC").to_string(),
                description => word(&transaction["user_facing_description"]),
                kind => word(&transaction["type"]),
                amount => amount(&transaction["details"]["total_amount"]),
            }
        },
    );
    context! {
        advance => amount(&terms["advance_amount"]),
        fee => amount(&terms["fee_amount"]),
        total => written(total(terms), &currency),
        rate => format!("{:.1}", terms["withhold_rate"].as_f64().unwrap_or_default() * 100.0),
        standing,
        rows => rows.collect::<Vec<_>>(),
    }
}

/// `1,234.50 USD`: all of Capital's currencies have two decimals.
pub(crate) fn written(minor: i64, currency: &str) -> String {
    let digits = (minor / 100).unsigned_abs().to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{grouped}.{:02} {}", (minor % 100).abs(), currency.to_uppercase())
}

fn render(page: minijinja::Value) -> Result<String, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    templates.add_template(TEMPLATE.0, TEMPLATE.1)?;
    templates.get_template(TEMPLATE.0)?.render(page)
}

/// The merchant applies. The page must have been opened; the link is used up.
fn apply(shared: &Arc<Shared>, secret: &str) -> Answer {
    let (link, offer) = {
        let mut state = shared.state();
        let Some(link) = state.links.remove(secret) else {
            return Answer::html(404, "No such link.".to_owned());
        };
        let offer = shown_offer(&state, &link.account, To::Application, shared.clock.now());
        let offer = offer.filter(|_| link.is_opened && link.to == To::Application);
        (link, offer.map(|offer| word(&offer["id"])))
    };
    match offer.map(|offer| buttons::press(shared, Button::Apply, &offer)) {
        Some(Ok(())) => Answer::see_other(&link.return_url),
        Some(Err(_)) | None => Answer::see_other(&link.refresh_url),
    }
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn amounts_are_written_for_people() {
        let all = [123_456_789, 5, -12_345, 100_000].map(|minor| written(minor, "usd"));
        assert_eq!(all, ["1,234,567.89 USD", "0.05 USD", "-123.45 USD", "1,000.00 USD"]);
    }
}
