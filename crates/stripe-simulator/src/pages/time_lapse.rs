//! Days that pass in a moment. There is one clock, as in reality, so every merchant sells on each
//! of them, and offers whose time is over expire.
//!
//! Before the clock moves, every event was answered, so that none is refused for its age, and the
//! platform has processed what it got, so that it compares its sums at rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rand::RngExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Pages;
use crate::engine::Engine;
use crate::error::ActionError;
use crate::feed::Tone;
use crate::financing::balance::pay_out_sales;
use crate::financing::charge::{ChargeKind, NewCharge, charge, refund};
use crate::lifecycle::{self, Action};
use crate::money::format_amount;
use crate::state::State;
use crate::state::offer::{is_past_expiry, text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Days(u32),
    /// Until the account has paid its financings. Without one it takes its open offer first.
    UntilPaid,
}

/// How far a time lapse has come.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(super) day: u32,
    /// None if it depends on the sales.
    pub(super) of: Option<u32>,
    /// Ends it after the day that is under way.
    stop: CancellationToken,
}

/// Sales are such that a financing takes about nine months.
const DAYS_OF_A_FINANCING: f64 = 270.0;
const MAX_DAYS: u32 = 730;
/// In a longer one, merchants other than the chosen one sell once a week.
const MAX_DAYS_IN_DETAIL: u32 = 31;
/// How long the platform may take for what it got.
const MAX_SETTLE: Duration = Duration::from_secs(5);
/// As `MAX_SETTLE`, after it took longer: with a relay that is down it never settles.
const MAX_SETTLE_AGAIN: Duration = Duration::from_millis(100);
/// Of a step, if nothing says whether the platform has settled.
const PACE: Duration = Duration::from_millis(5);
/// Six hours: within each working day falls at least one.
const STEPS_OF_A_DAY: i32 = 4;

/// Starts a time lapse. The page shows how far it is.
pub(super) fn start(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    account: &str,
    span: Span,
) -> Result<(), ActionError> {
    let of = match span {
        Span::Days(days) => Some(days),
        Span::UntilPaid => None,
    };
    let stop = engine.stop.child_token();
    if !pages.begin_lapse(Progress { day: 0, of, stop: stop.clone() }) {
        return Err(ActionError::new("time is passing already"));
    }
    let lapse = Lapse {
        engine: Arc::clone(engine),
        pages: Arc::clone(pages),
        account: account.to_owned(),
        span,
        stop,
        max_settle: MAX_SETTLE,
        sold: BTreeMap::new(),
    };
    engine.tasks.spawn(async move {
        let pages = Arc::clone(&lapse.pages);
        lapse.run().await;
        pages.end_lapse();
    });
    Ok(())
}

impl Pages {
    /// False while another runs: two would move the clock under each other.
    fn begin_lapse(&self, progress: Progress) -> bool {
        let mut lapse = self.lapse();
        let is_free = lapse.is_none();
        lapse.get_or_insert(progress);
        is_free
    }

    fn end_lapse(&self) {
        *self.lapse() = None;
    }

    pub(super) fn lapse_progress(&self) -> Option<Progress> {
        self.lapse().clone()
    }

    /// Nothing happens if none runs.
    pub(super) fn stop_lapse(&self) {
        if let Some(progress) = self.lapse().as_ref() {
            progress.stop.cancel();
        }
    }
}

/// What an account sold, in minor units.
#[derive(Default)]
struct Sold {
    sold: i64,
    withheld: i64,
}

struct Lapse {
    engine: Arc<Engine>,
    pages: Arc<Pages>,
    account: String,
    span: Span,
    stop: CancellationToken,
    max_settle: Duration,
    sold: BTreeMap<String, Sold>,
}

impl Lapse {
    async fn run(mut self) {
        let days = match self.span {
            Span::Days(days) => days,
            Span::UntilPaid => {
                self.take_offer().await;
                MAX_DAYS
            }
        };
        let mut passed = 0;
        while passed < days && !self.is_over() {
            self.settle().await;
            if self.stop.is_cancelled() {
                break;
            }
            passed += 1;
            self.hours_pass().await;
            self.day(passed);
            if let Some(progress) = self.pages.lapse().as_mut() {
                progress.day = passed;
            }
        }
        self.settle().await;
        self.report(passed);
    }

    /// Nothing is left to be paid.
    fn is_over(&self) -> bool {
        self.span == Span::UntilPaid
            && self.engine.state().ledger.active(&self.account).next().is_none()
    }

    /// Waits until all events were answered, and the platform has processed them.
    async fn settle(&mut self) {
        let settle = self.pages.host().settle;
        let has_settled = async {
            self.engine.deliveries_finished().await;
            if let Some(settle) = settle {
                tokio::time::timeout(self.max_settle, settle()).await.is_ok()
            } else {
                tokio::time::sleep(PACE).await;
                true
            }
        };
        // The stop first: nothing is waited for after it.
        let has_settled = tokio::select! {
            biased;
            () = self.stop.cancelled() => true,
            has_settled = has_settled => has_settled,
        };
        self.max_settle = if has_settled { MAX_SETTLE } else { MAX_SETTLE_AGAIN };
    }

    /// Without an active financing the merchant applies for the open offer, and is approved.
    async fn take_offer(&mut self) {
        let newest = {
            let state = self.engine.state();
            let newest = state.offers.of_account(&self.account).next();
            newest.map(|offer| text(&offer["id"])).unwrap_or_default()
        };
        for (before, action) in [("delivered", Action::Apply), ("accepted", Action::Approve)] {
            let is_next =
                self.engine.state().offers.get(&newest).is_some_and(|one| one["status"] == before);
            if is_next && self.engine.state().ledger.active(&self.account).next().is_none() {
                self.settle().await;
                self.engine.time.advance(TimeDelta::days(1));
                // It cannot fail, but for an offer whose time is over.
                let _ = self.engine.change(|change| lifecycle::perform(change, action, &newest));
            }
        }
    }

    /// A day, in steps: what a platform does at certain hours alone, it does.
    async fn hours_pass(&mut self) {
        for step in 1..=STEPS_OF_A_DAY {
            self.engine.time.advance(TimeDelta::days(1) / STEPS_OF_A_DAY);
            if step < STEPS_OF_A_DAY {
                self.settle().await;
            }
        }
    }

    fn day(&mut self, number: u32) {
        for account in self.connected_accounts() {
            let is_daily = {
                let state = self.engine.state();
                let in_detail = match self.span {
                    Span::Days(days) => days <= MAX_DAYS_IN_DETAIL,
                    Span::UntilPaid => account == self.account,
                };
                in_detail && state.ledger.active(&account).next().is_some()
            };
            if is_daily || number.is_multiple_of(7) {
                self.sell(&account, number, if is_daily { 1 } else { 7 });
            }
        }
        self.expire_offers();
    }

    fn connected_accounts(&self) -> Vec<String> {
        let state = self.engine.state();
        let ids = state.accounts.objects.keys();
        ids.filter(|id| state.accounts.is_connected(id)).cloned().collect()
    }

    /// The sales of so many days, now and then with a refund, and each week a payout to the bank.
    fn sell(&mut self, account: &str, number: u32, days: i64) {
        let daily = daily_sales(&self.engine.state(), account);
        let amount = (daily * days * rand::rng().random_range(60..140) / 100).max(100);
        let sale = NewCharge { amount, kind: ChargeKind::Direct { application_fee: amount / 50 } };
        let withheld = self.engine.change(|change| {
            let outcome = charge(change, account, &sale);
            if let Ok(outcome) = &outcome
                && number.is_multiple_of(23)
            {
                // It cannot fail: the charge is new, and this is a part of it.
                let _ = refund(change, &outcome.charge, amount / 4);
            }
            if number.is_multiple_of(7) {
                // In the feed, payouts of all merchants would hide what happens.
                let notes = change.notes.len();
                pay_out_sales(change, account);
                change.notes.truncate(notes);
            }
            outcome.map_or(0, |outcome| outcome.withheld_minor)
        });
        let sold = self.sold.entry(account.to_owned()).or_default();
        sold.sold += amount;
        sold.withheld += withheld;
    }

    /// Stripe may leave such an offer open for a while. Here it does not.
    fn expire_offers(&self) {
        let now = self.engine.time.now();
        let is_over = |offer: &&Value| {
            matches!(offer["status"].as_str(), Some("undelivered" | "delivered"))
                && is_past_expiry(offer, now)
        };
        let over: Vec<String> = {
            let state = self.engine.state();
            state.offers.all().iter().filter(is_over).map(|offer| text(&offer["id"])).collect()
        };
        for offer in over {
            // It cannot fail: both statuses allow it.
            let _ = self.engine.change(|change| lifecycle::perform(change, Action::Expire, &offer));
        }
    }

    fn report(&self, passed: u32) {
        let days = if passed == 1 { "1 day".to_owned() } else { format!("{passed} days") };
        for (account, sold) in &self.sold {
            let currency = self.engine.state().accounts.currency(account);
            let amount = |minor| format_amount(minor, &currency);
            let total = amount(sold.sold);
            let text = match sold.withheld {
                0 => format!("Sold {total} in {days}"),
                minor => {
                    format!("Sold {total} in {days}; {} of it went to the financing", amount(minor))
                }
            };
            self.engine.report(Some(account), text, Tone::Quiet);
        }
        let date = self.engine.time.now().format("%-d %B %Y");
        self.engine.report(None, format!("{days} passed: it is {date}"), Tone::Busy);
    }
}

/// By the terms of the newest offer.
fn daily_sales(state: &State, account: &str) -> i64 {
    let newest = state.offers.of_account(account).next();
    let Some(terms) = newest.map(|offer| &offer["offered_terms"]) else { return 10_000 };
    let amount = |name: &str| terms[name].as_f64().unwrap_or(0.0);
    let total = amount("advance_amount") + amount("fee_amount");
    let rate = terms["withhold_rate"].as_f64().filter(|rate| *rate > 0.0).unwrap_or(0.15);
    #[expect(clippy::cast_possible_truncation, reason = "sales of a demonstration, far below 2^53")]
    let sales = (total / rate / DAYS_OF_A_FINANCING) as i64;
    sales.max(100)
}
