//! The buttons of a merchant's page: what each says, what it will do, and why it is not possible.

use chrono::TimeDelta;
use minijinja::{Value, context};

use super::situation::{Situation, Target};
use super::story::short_date;
use super::{Host, Trouble};
use crate::lifecycle::Action;
use crate::lifecycle::next_offer::NextOffer;
use crate::money::{format_amount, symbol};

/// In whole units of the currency.
const AMOUNT: i64 = 100;

/// A form with one button.
struct Button {
    /// The last part of its URL.
    action: &'static str,
    label: &'static str,
    /// What happens, or why nothing can.
    hint: Result<String, String>,
    /// The symbol of the currency, if the button asks for an amount.
    currency: Option<String>,
    /// Whether it carries the story on.
    is_next: bool,
}

impl Button {
    fn new(action: &'static str, label: &'static str, hint: Result<String, String>) -> Self {
        Self { action, label, hint, currency: None, is_next: false }
    }

    fn of(action: &'static str, label: &'static str, target: Target, hint: &str) -> Self {
        Self::new(action, label, target.map(|_| hint.to_owned()))
    }

    fn with_amount(self, currency: &str) -> Self {
        Self { currency: Some(symbol(currency).trim_end().to_owned()), ..self }
    }

    fn value(self) -> Value {
        let Self { action, label, hint, currency, is_next } = self;
        let hint = hint.unwrap_or_else(|why_not| why_not);
        context! { action, label, hint, currency, is_next, amount => AMOUNT }
    }

    fn next_if(self, is_next: bool) -> Self {
        Self { is_next, ..self }
    }
}

/// A group: what is possible, and what is not for the same reason.
fn group(buttons: Vec<Button>) -> Value {
    let (mut possible, mut impossible) = (Vec::new(), Vec::<(Vec<&str>, String)>::new());
    for button in buttons {
        match &button.hint {
            Ok(_) => possible.push(button.value()),
            Err(why_not) => match impossible.iter_mut().find(|(_, reason)| reason == why_not) {
                Some((labels, _)) => labels.push(button.label),
                None => impossible.push((vec![button.label], why_not.clone())),
            },
        }
    }
    let impossible = impossible.into_iter();
    let impossible =
        impossible.map(|(labels, hint)| context! { label => labels.join(" · "), hint });
    context! { possible, impossible => impossible.collect::<Vec<_>>() }
}

/// All groups, for the template.
pub(super) fn groups(situation: &Situation<'_>, host: &Host) -> Value {
    context! {
        time => group(time(situation)), merchant => group(merchant(situation)),
        stripe => group(stripe(situation)), unsubscribe => unsubscribe(situation.account, host),
    }
}

fn time(situation: &Situation<'_>) -> Vec<Button> {
    let until = |days| {
        let date = situation.now + TimeDelta::days(days);
        Ok(format!("until {}", short_date(date, situation.now)))
    };
    let until_paid = situation.until_paid().map(|()| match situation.financing {
        Some(_) => "sales go on until nothing remains".to_owned(),
        None => "they apply, Stripe approves, and sales pay it".to_owned(),
    });
    vec![
        Button::new("day", "1 day", until(1)),
        Button::new("week", "1 week", until(7)),
        Button::new("month", "1 month", until(30)),
        Button::new("until_paid", "Until paid in full", until_paid)
            .next_if(situation.financing.is_some() && situation.applied.is_none()),
    ]
}

fn merchant(situation: &Situation<'_>) -> Vec<Button> {
    let currency = situation.currency();
    let balance = format_amount(situation.available(), &currency);
    let rest = situation.active().map(|financing| {
        let rest = format_amount(financing.remaining().total(), &financing.currency);
        format!("{rest}, from the bank account")
    });
    let apply = situation.target(Action::Apply);
    let pay = situation.to_pay().map(|_| format!("{balance} of sales are in it"));
    let take_other = situation.target(Action::TakeOther);
    let pay_out = situation.to_pay_out().map(|_| format!("{balance} of sales"));
    vec![
        Button::of("apply", "Applies", apply, "Stripe then reviews the application").next_if(true),
        Button::new("pay", "Pays from balance", pay).with_amount(&currency),
        Button::new("repay", "Pays off the rest", rest),
        Button::of("take_other", "Takes another offer", take_other, "this offer is closed"),
        Button::new("pay_out", "Moves balance to bank", pay_out),
    ]
}

fn stripe(situation: &Situation<'_>) -> Vec<Button> {
    let target = |action| situation.target(action);
    let currency = situation.currency();
    let (label, offer) = match situation.to_offer() {
        Ok(NextOffer::First) => ("Makes a first offer", Ok("an email is due")),
        Ok(NextOffer::New) => ("Makes a new offer", Ok("another amount; an email is due")),
        Ok(NextOffer::Refill) => ("Makes a refill offer", Ok("more, while they pay")),
        Ok(NextOffer::Repeat) => ("Makes a repeat offer", Ok("more than last time")),
        Err(why_not) => ("Makes another offer", Err(why_not)),
    };
    let (replace, expire) = (target(Action::Replace), target(Action::Expire));
    let counter = target(Action::Counter);
    let collect = situation.to_collect();
    vec![
        Button::of("approve", "Approves and pays out", target(Action::Approve), "sales then pay")
            .next_if(true),
        Button::of("reject", "Rejects", target(Action::Reject), "the application fails"),
        Button::of("counter", "Makes a counter-offer", counter, "twice the amount instead"),
        Button::of("replace", "Replaces with a better offer", replace, "twice the amount"),
        Button::of("cancel", "Cancels", target(Action::Cancel), "as the merchant asked"),
        Button::new("offer", label, offer.map(str::to_owned))
            .next_if(situation.financing.is_none()),
        Button::of("expire", "Lets the offer expire", expire, "its time is over"),
        Button::of("collect", "Collects from bank", collect, "what a minimum payment lacks")
            .with_amount(&currency),
    ]
}

/// The link of the newest letter, if the host can find it.
fn unsubscribe(account: &str, host: &Host) -> Value {
    let link = host.unsubscribe_link.as_ref().and_then(|find| find(account));
    let hint = match (&link, &host.unsubscribe_link) {
        (Some(_), _) => "opens the page that the newest email links to",
        (None, Some(_)) => "no email with a link has reached them yet",
        (None, None) => "use the link at the end of an email",
    };
    context! { link, hint }
}

/// The host's switches, for the template.
pub(super) fn troubles(host: &Host) -> Vec<Value> {
    host.troubles.iter().map(trouble).collect()
}

fn trouble(trouble: &Trouble) -> Value {
    let is_on = (trouble.is_on)() && trouble.stop.is_some();
    let label = trouble.stop.as_ref().filter(|_| is_on).unwrap_or(&trouble.start);
    context! { name => &trouble.name, label, is_on, explains => &trouble.explains }
}
