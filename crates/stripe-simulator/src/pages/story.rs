//! The story line of an offer: offer, email, applied, approved, paying, paid.

use chrono::{DateTime, Utc};
use minijinja::context;
use serde_json::Value;

use crate::feed::NumberedEntry;
use crate::money::{format_amount, format_rate};
use crate::state::State;
use crate::state::ledger::Financing;
use crate::state::offer::{current_terms, is_past_expiry, text};

const LABELS: [&str; 6] = ["Offer", "Email", "Applied", "Approved", "Paying", "Paid"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    /// What is being waited for.
    Current,
    /// The story ends here.
    Stopped,
    ToCome,
}

impl Step {
    /// The class in the stylesheet.
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Current => "current",
            Self::Stopped => "stopped",
            Self::ToCome => "to_come",
        }
    }
}

/// How far an offer has come: so many steps are done, and what is said about the next.
struct Place {
    done: usize,
    next: Step,
    said: String,
}

/// The offers that are told on the page: those under way, oldest first, else the newest.
pub(super) fn told<'a>(state: &'a State, account: &'a str) -> Vec<&'a Value> {
    let is_under_way = |offer: &&Value| {
        matches!(
            offer["status"].as_str(),
            Some("undelivered" | "delivered" | "accepted" | "paid_out")
        )
    };
    let mut under_way: Vec<&Value> =
        state.offers.of_account(account).filter(is_under_way).collect();
    under_way.reverse();
    if under_way.is_empty() {
        under_way.extend(state.offers.of_account(account).next());
    }
    under_way
}

/// An offer's status in Stripe's words, and the class of its mark. Of a financing also how much is
/// paid.
pub(super) fn phase(state: &State, offer: &Value) -> (String, &'static str) {
    let status = offer["status"].as_str().unwrap_or_default();
    let words = status.replace('_', " ");
    match status {
        "undelivered" => (words, "warn"),
        "delivered" | "accepted" => (words, "busy"),
        "paid_out" => {
            let percent = financing(state, offer).map_or(0, percent_paid);
            (format!("{words}, {percent}% paid"), "busy")
        }
        "fully_repaid" | "completed" => (words, "good"),
        "rejected" => (words, "bad"),
        _ => (words, "quiet"),
    }
}

/// One line, for the template.
pub(super) fn tell(
    state: &State,
    offer: &Value,
    feed: &[NumberedEntry],
    now: DateTime<Utc>,
) -> minijinja::Value {
    let id = text(&offer["id"]);
    let place = place(state, offer, now);
    let steps = LABELS.iter().enumerate().map(|(number, label)| {
        let step = match number {
            _ if number < place.done => Step::Done,
            _ if number == place.done => place.next,
            _ => Step::ToCome,
        };
        let (label, said) = match step {
            // A replacement has no email: Stripe shows it in the application.
            Step::Done if number == 1 && offer["replacement_for"].is_string() => {
                ("Shown by Stripe".to_owned(), done_on(state, offer, number, now))
            }
            Step::Done => ((*label).to_owned(), done_on(state, offer, number, now)),
            Step::Current => ((*label).to_owned(), place.said.clone()),
            // What did not come to pass has another name.
            Step::Stopped => (place.said.clone(), String::new()),
            Step::ToCome => ((*label).to_owned(), String::new()),
        };
        let link = Some(feed).filter(|_| number == 1 && place.done > 1);
        let link = link.and_then(|feed| letter_link(state, offer, feed));
        context! { label, progress => step.as_str(), said, link }
    });
    let terms = current_terms(offer);
    let currency = text(&terms["currency"]);
    let amount = |name: &str| format_amount(terms[name].as_i64().unwrap_or_default(), &currency);
    let (phase, tone) = phase(state, offer);
    context! {
        steps => steps.collect::<Vec<_>>(), phase, tone,
        title => title(offer),
        advance => amount("advance_amount"), fee => amount("fee_amount"),
        rate => format_rate(terms["withhold_rate"].as_f64().unwrap_or_default()),
        bar => financing(state, offer).map(|financing| bar(financing, now)),
        product => text(&offer["financing_type"]).replace('_', " "),
        id,
    }
}

/// `Refill`, `Repeat offer`, `First offer`, … by Stripe's words for it.
pub(super) fn title(offer: &Value) -> &'static str {
    let campaign = offer["offered_terms"]["campaign_type"].as_str();
    match (offer["product_type"].as_str(), campaign) {
        _ if !offer["replacement_for"].is_null() => "Replacement",
        (Some("refill"), _) => "Refill",
        (_, Some("repeat_user")) => "Repeat offer",
        (_, Some("newly_eligible_user")) => "First offer",
        (_, _) => "New offer",
    }
}

fn place(state: &State, offer: &Value, now: DateTime<Utc>) -> Place {
    let is_delivered = state.offers.delivered_at.contains_key(offer["id"].as_str().unwrap_or(""));
    let was_paid_out = !offer["status_transitions"]["paid_out_at"].is_null();
    let stopped = |done, said: &str| Place { done, next: Step::Stopped, said: said.to_owned() };
    let waiting = |done, said| Place { done, next: Step::Current, said };
    let before_applying = if is_delivered { 2 } else { 1 };
    match offer["status"].as_str().unwrap_or_default() {
        "undelivered" => waiting(1, "undelivered".to_owned()),
        "delivered" => waiting(2, open_for(offer, now)),
        "accepted" => waiting(3, "Stripe reviews it".to_owned()),
        "paid_out" => waiting(4, day_of(state, offer, now)),
        "fully_repaid" | "completed" => Place { done: 6, next: Step::Done, said: String::new() },
        "rejected" if !offer["replacement"].is_null() => stopped(3, "Counter-offer"),
        "rejected" => stopped(3, "Rejected"),
        "canceled" if was_paid_out => stopped(4, "Canceled"),
        "canceled" => stopped(3, "Canceled"),
        "expired" => stopped(before_applying, "Expired"),
        "replaced" => stopped(before_applying, "Replaced"),
        "accepted_other_offer" => stopped(before_applying, "Accepted other offer"),
        other => stopped(before_applying, &other.replace('_', " ")),
    }
}

fn open_for(offer: &Value, now: DateTime<Utc>) -> String {
    if is_past_expiry(offer, now) {
        return "its time is over".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "Stripe sends this time as a float")]
    let seconds = offer["expires_after"].as_f64().unwrap_or_default() as i64 - now.timestamp();
    // A day that has begun counts.
    match (seconds + 86_399) / 86_400 {
        1 => "open for 1 more day".to_owned(),
        days => format!("open for {days} more days"),
    }
}

fn day_of(state: &State, offer: &Value, now: DateTime<Utc>) -> String {
    financing(state, offer).map_or_else(String::new, |financing| {
        format!("day {} of the financing", (now - financing.paid_out_at).num_days() + 1)
    })
}

/// The date of a step that is done.
fn done_on(state: &State, offer: &Value, step: usize, now: DateTime<Utc>) -> String {
    let at = |name: &str| offer["status_transitions"][name].as_i64();
    let seconds = match step {
        0 => offer["created"].as_i64(),
        1 => state.offers.delivered_at.get(offer["id"].as_str().unwrap_or_default()).copied(),
        2 => at("accepted_at"),
        3 | 4 => at("paid_out_at"),
        _ => at("fully_repaid_at"),
    };
    let date = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    date.map(|date| short_date(date, now)).unwrap_or_default()
}

/// `29 Nov`, with the year if it is another than now.
pub(super) fn short_date(date: DateTime<Utc>, now: DateTime<Utc>) -> String {
    use chrono::Datelike as _;
    let form = if date.year() == now.year() { "%-d %b" } else { "%-d %b %Y" };
    date.format(form).to_string()
}

/// The newest link that the host gave to something about the account, from this offer to the next.
fn letter_link(state: &State, offer: &Value, feed: &[NumberedEntry]) -> Option<(String, String)> {
    let made = |offer: &Value| offer["created"].as_i64().unwrap_or_default();
    let created = made(offer);
    let account = offer["account"].as_str().unwrap_or_default();
    let later = state.offers.of_account(account).map(made).filter(|made| *made > created);
    let made_until = later.min().map_or(i64::MAX, |next| next - 1);
    let is_its = |one: &&NumberedEntry| {
        one.entry.account.as_deref() == offer["account"].as_str()
            && (created..=made_until).contains(&one.entry.at.timestamp())
            && one.entry.link.is_some()
    };
    feed.iter().rev().find(is_its)?.entry.link.clone()
}

fn financing<'a>(state: &'a State, offer: &Value) -> Option<&'a Financing> {
    let of_offer = |one: &&Financing| offer["id"] == one.offer.as_str();
    state.ledger.financings.iter().rev().find(of_offer)
}

/// Rounded down: it is 100 once all is paid, and not before.
fn percent_paid(financing: &Financing) -> i64 {
    let due = financing.due().total().max(1);
    (financing.repaid.total() * 100 / due).clamp(0, 100)
}

fn bar(financing: &Financing, now: DateTime<Utc>) -> minijinja::Value {
    let amount = |minor| format_amount(minor, &financing.currency);
    let minimum = financing.schedule.filter(|_| financing.is_active).map(|schedule| {
        let interval = financing.interval(now);
        let paid = financing.repaid_in(interval);
        let ends = financing.paid_out_at.timestamp() + (interval + 1) * schedule.seconds();
        context! {
            paid => amount(paid), of => amount(schedule.minimum),
            is_met => paid >= schedule.minimum,
            days => (ends - now.timestamp()) / 86_400 + 1,
        }
    });
    context! {
        percent => percent_paid(financing), minimum,
        paid => amount(financing.repaid.total()), total => amount(financing.due().total()),
        remaining => amount(financing.remaining().total()),
    }
}
