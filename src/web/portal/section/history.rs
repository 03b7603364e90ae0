//! The template's view of an account's transactions by week: groups that open, and the picture of
//! what was paid.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::view::{MovementRow, PageFormatter};
use crate::financing::history::{WeekLine, Weeks};
use crate::financing::ledger::Movement;
use crate::financing::ledger::store::Balance;
use crate::format::money::Money;
use crate::offers::store::AccountOffer;
use crate::stripe::{Contract, OfferStatus};

/// Transactions listed below a week; the rest has a page of its own.
pub(in crate::web::portal) const ROWS_PER_WEEK: i64 = 20;

/// The width of a bar and its gap, and the height of the picture, in its own units.
const BAR_STEP: i64 = 26;
const BAR_WIDTH: i64 = 18;
const CHART_HEIGHT: i64 = 120;
/// The picture has room for these, so that the bars of a young financing are no slabs.
const MIN_BARS: usize = 12;

/// An account's movements of some weeks.
pub(in crate::web::portal) struct History {
    pub(in crate::web::portal) weeks: Weeks,
    /// Newest first.
    pub(in crate::web::portal) lines: Vec<WeekLine>,
    /// The newest of the listed weeks.
    pub(in crate::web::portal) rows: Vec<Movement>,
    /// The balances at the end of the weeks.
    pub(in crate::web::portal) balances: Vec<Balance>,
}

/// The account's financings, by which its transactions are worded and told apart.
pub(in crate::web::portal) struct Financed<'a> {
    pub(in crate::web::portal) offers: &'a [AccountOffer],
    /// When each was paid out; empty if there is only one.
    pub(in crate::web::portal) paid_out: BTreeMap<String, DateTime<Utc>>,
}

/// Names a financing where there are several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::web::portal) struct FinancingName {
    contract: &'static str,
    day: String,
}

/// A week with transactions, as the template reads it.
#[derive(Serialize)]
pub(in crate::web::portal) struct WeekView {
    /// Its first day, for URLs.
    id: String,
    begins_on: String,
    movements: i64,
    count: String,
    /// What was paid out, paid and discounted, signed from the merchant's point of view.
    amounts: Vec<String>,
    /// What remains at its end; none with several currencies.
    balance: Option<String>,
    rows: Vec<MovementRow>,
    /// There are more transactions than rows.
    has_more: bool,
}

#[derive(Serialize)]
pub(super) struct ChartView {
    bars: Vec<BarView>,
    width: i64,
    height: i64,
    /// The largest amount.
    highest: String,
    first: String,
    last: String,
}

#[derive(Serialize)]
struct BarView {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
    begins_on: String,
    amount: String,
}

impl History {
    /// The first days of the newest weeks with movements, at most so many.
    pub(in crate::web::portal) fn listed(lines: &[WeekLine], limit: usize) -> Vec<NaiveDate> {
        let mut days: Vec<NaiveDate> = lines.iter().map(|line| line.first_day).collect();
        days.dedup();
        days.truncate(limit);
        days
    }
}

impl Financed<'_> {
    /// Whether the offer replaces one whose application was rejected
    /// (<https://docs.stripe.com/capital/replacements>).
    pub(super) fn is_counteroffer(&self, offer: &AccountOffer) -> bool {
        let replaced = offer.replacement_for_offer_id.as_deref();
        let is_replaced = |other: &&AccountOffer| replaced == Some(&other.offer_id);
        let replaced = self.offers.iter().find(is_replaced);
        replaced.is_some_and(|replaced| replaced.status == OfferStatus::Rejected.as_str())
    }

    /// The contract of a transaction's financing.
    pub(in crate::web::portal) fn contract_of(&self, offer_id: Option<&str>) -> Contract {
        let offer = self.offers.iter().find(|offer| offer_id == Some(&offer.offer_id));
        offer.map_or(Contract::Unspecified, AccountOffer::contract)
    }

    /// None if there is only one financing.
    pub(in crate::web::portal) fn name_of(
        &self,
        offer_id: Option<&str>,
        formatter: &PageFormatter<'_>,
    ) -> Option<FinancingName> {
        let paid_out_at = self.paid_out.get(offer_id?)?;
        let day = paid_out_at.with_timezone(&formatter.zone).date_naive();
        let contract = self.contract_of(offer_id).vocabulary().as_str();
        Some(FinancingName { contract, day: formatter.formats.short_date(day) })
    }
}

/// Whether funds were sent, as far as the status says.
pub(in crate::web::portal) fn was_paid_out(offer: &AccountOffer) -> bool {
    match OfferStatus::from(offer.status.clone()) {
        OfferStatus::PaidOut
        | OfferStatus::FullyRepaid
        | OfferStatus::Completed
        | OfferStatus::Canceled => true,
        OfferStatus::Undelivered
        | OfferStatus::Delivered
        | OfferStatus::Accepted
        | OfferStatus::Rejected
        | OfferStatus::Expired
        | OfferStatus::Replaced
        | OfferStatus::Revoked
        | OfferStatus::AcceptedOtherOffer
        | OfferStatus::Other(_) => false,
    }
}

impl PageFormatter<'_> {
    /// The newest weeks with movements, at most so many.
    pub(in crate::web::portal) fn weeks(
        &self,
        history: &History,
        financed: &Financed<'_>,
        limit: usize,
    ) -> Vec<WeekView> {
        let mut balances = history.balances.clone();
        let mut weeks = Vec::new();
        for first_day in History::listed(&history.lines, limit) {
            let lines: Vec<&WeekLine> =
                history.lines.iter().filter(|line| line.first_day == first_day).collect();
            weeks.push(self.week(history, financed, &balances, &lines));
            // What remained before the week is what remained at the end of the one before.
            for line in lines {
                let delta = line.delta_minor();
                if let Some(balance) =
                    balances.iter_mut().find(|balance| balance.currency == line.currency)
                {
                    balance.remaining_minor = balance.remaining_minor.saturating_sub(delta);
                }
            }
        }
        weeks
    }

    fn week(
        &self,
        history: &History,
        financed: &Financed<'_>,
        balances: &[Balance],
        lines: &[&WeekLine],
    ) -> WeekView {
        let first_day = lines.first().map_or(NaiveDate::MIN, |line| line.first_day);
        let movements = lines.iter().map(|line| line.movements).sum();
        let in_week =
            history.rows.iter().filter(|row| history.weeks.of(row.created_at) == Some(first_day));
        let rows = self.rows(in_week, financed, balances);
        let has_more = usize::try_from(movements).is_ok_and(|movements| movements > rows.len());
        WeekView {
            id: first_day.to_string(),
            begins_on: self.formats.short_date(first_day),
            movements,
            count: self.formats.count(movements),
            amounts: self.week_amounts(lines),
            balance: self.balance(balances),
            rows,
            has_more,
        }
    }

    /// By currency: what was paid out, what was paid, and what need not be paid.
    fn week_amounts(&self, lines: &[&WeekLine]) -> Vec<String> {
        let mut sums: BTreeMap<(&str, u8), i64> = BTreeMap::new();
        for line in lines {
            let amounts = [
                line.advanced_minor,
                line.paid_minor.saturating_neg(),
                line.discounted_minor.saturating_neg(),
            ];
            for (minor, place) in amounts.into_iter().zip(0_u8..) {
                let sum = sums.entry((&line.currency, place)).or_default();
                *sum = sum.saturating_add(minor);
            }
        }
        let amounts = sums.into_iter().filter(|(_, minor)| *minor != 0);
        amounts.map(|((currency, _), minor)| self.signed(minor, currency)).collect()
    }

    /// None with several currencies: their sum would mean nothing.
    fn balance(&self, balances: &[Balance]) -> Option<String> {
        let [balance] = balances else { return None };
        Some(self.remaining(balance))
    }

    pub(in crate::web::portal) fn remaining(&self, balance: &Balance) -> String {
        let (minor, currency) = (balance.remaining_minor, balance.currency.clone());
        self.money(&Money { minor, currency })
    }

    /// Rows of consecutive movements, newest first, where `balances` are those after the first.
    pub(in crate::web::portal) fn rows<'a>(
        &self,
        movements: impl Iterator<Item = &'a Movement>,
        financed: &Financed<'_>,
        balances: &[Balance],
    ) -> Vec<MovementRow> {
        let mut balances = balances.to_vec();
        let row = |movement: &'a Movement| {
            let balance = self.balance(&balances);
            if let [only] = &mut *balances {
                only.remaining_minor = only.remaining_minor.saturating_sub(movement.delta_minor());
            }
            self.row(movement, financed, balance)
        };
        movements.map(row).collect()
    }

    /// What was paid in each week for one financing, from the week of its payout or the first of
    /// these weeks. None for less than two weeks, and before the first payment.
    pub(super) fn chart(
        &self,
        history: &History,
        offer_id: &str,
        paid_out_at: Option<DateTime<Utc>>,
    ) -> Option<ChartView> {
        let begins = paid_out_at.and_then(|at| history.weeks.of(at));
        let is_later = |day: &&NaiveDate| begins.is_none_or(|begins| **day >= begins);
        let days: Vec<&NaiveDate> = history.weeks.first_days().iter().filter(is_later).collect();
        let mut paid: BTreeMap<NaiveDate, i64> = BTreeMap::new();
        let lines =
            || history.lines.iter().filter(|line| line.offer_id.as_deref() == Some(offer_id));
        let currency = &lines().next()?.currency;
        for line in lines().filter(|line| line.currency == *currency) {
            paid.insert(line.first_day, line.paid_minor);
        }
        let highest = paid.values().copied().max().filter(|minor| *minor > 0)?;
        if days.len() < 2 {
            return None;
        }
        let money = |minor| self.money(&Money { minor, currency: currency.clone() });
        let mut bars = Vec::new();
        for (day, x) in days.iter().zip((0..).step_by(usize::try_from(BAR_STEP).ok()?)) {
            let minor = paid.get(day).copied().unwrap_or(0);
            let height = i128::from(minor.max(0)) * i128::from(CHART_HEIGHT) / i128::from(highest);
            // Whatever was paid is visible.
            let height = i64::try_from(height).ok()?.max(if minor > 0 { 3 } else { 0 });
            bars.push(BarView {
                x,
                y: CHART_HEIGHT - height,
                width: BAR_WIDTH,
                height,
                begins_on: self.formats.short_date(**day),
                amount: money(minor),
            });
        }
        Some(ChartView {
            width: i64::try_from(bars.len().max(MIN_BARS)).ok()? * BAR_STEP
                - (BAR_STEP - BAR_WIDTH),
            bars,
            height: CHART_HEIGHT,
            highest: money(highest),
            first: self.formats.day_of_year(**days.first()?),
            last: self.formats.day_of_year(**days.last()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::format::locale::{Formats, Language};
    use crate::web::portal::section::phase::tests::now;

    fn line(first_day: &str, currency: &str, advanced_minor: i64, paid_minor: i64) -> WeekLine {
        WeekLine {
            first_day: first_day.parse().unwrap(),
            offer_id: Some("financingoffer_1".to_owned()),
            currency: currency.to_owned(),
            advanced_minor,
            paid_minor,
            discounted_minor: 0,
            movements: 3,
        }
    }

    fn history(lines: Vec<WeekLine>, balances: &[(&str, i64)]) -> History {
        let balance = |&(currency, remaining_minor): &(&str, i64)| Balance {
            currency: currency.to_owned(),
            remaining_minor,
        };
        let weeks = Weeks::ending(now(), 26, Tz::UTC);
        History { weeks, lines, rows: Vec::new(), balances: balances.iter().map(balance).collect() }
    }

    fn listed(history: &History) -> Vec<(String, Vec<String>, Option<String>)> {
        let formats = Formats::new(Language::English, Some("US"));
        let formatter = PageFormatter { formats: &formats, zone: Tz::UTC };
        let financed = Financed { offers: &[], paid_out: BTreeMap::new() };
        let weeks = formatter.weeks(history, &financed, 10);
        weeks.into_iter().map(|week| (week.id, week.amounts, week.balance)).collect()
    }

    #[test]
    fn each_week_has_the_balance_at_its_end() {
        let lines =
            vec![line("2026-11-23", "usd", 0, 1_500), line("2026-11-09", "usd", 110_000, 0)];
        let weeks = listed(&history(lines, &[("usd", 108_500)]));
        let written = |text: &str| text.to_owned();
        assert_eq!(
            weeks,
            [
                (
                    written("2026-11-23"),
                    vec![written("\u{2212}$15.00")],
                    Some(written("$1,085.00"))
                ),
                (written("2026-11-09"), vec![written("+$1,100.00")], Some(written("$1,100.00"))),
            ]
        );
    }

    #[test]
    fn several_currencies_have_no_common_balance() {
        let lines = vec![line("2026-11-23", "eur", 0, 200), line("2026-11-23", "usd", 0, 1_500)];
        let weeks = listed(&history(lines, &[("eur", 1), ("usd", 1)]));
        assert_eq!(weeks.len(), 1);
        let amounts = ["\u{2212}€2.00", "\u{2212}$15.00"].map(str::to_owned).to_vec();
        assert_eq!((&weeks[0].1, &weeks[0].2), (&amounts, &None));
    }

    #[test]
    fn the_picture_begins_with_the_payout_and_shows_every_payment() {
        let formats = Formats::new(Language::English, Some("US"));
        let formatter = PageFormatter { formats: &formats, zone: Tz::UTC };
        let lines = vec![
            line("2026-11-23", "usd", 0, 1),
            line("2026-11-16", "usd", 0, 100_000),
            line("2026-11-09", "usd", 110_000, -500),
        ];
        let chart = |lines: Vec<WeekLine>, paid_out: &str| {
            let paid_out = Some(format!("{paid_out}T12:00:00Z").parse().unwrap());
            formatter.chart(&history(lines, &[]), "financingoffer_1", paid_out)
        };
        let shown = chart(lines.clone(), "2026-11-10").unwrap();
        let heights: Vec<i64> = shown.bars.iter().map(|bar| bar.height).collect();
        assert_eq!(heights, [0, CHART_HEIGHT, 3]);
        assert_eq!(shown.highest, "$1,000.00");
        assert_eq!((&*shown.first, &*shown.last), ("Nov\u{a0}9", "Nov\u{a0}23"));
        // A single week has no shape, and weeks without payments none either.
        assert!(chart(lines, "2026-11-24").is_none());
        assert!(chart(vec![line("2026-11-09", "usd", 110_000, 0)], "2026-11-10").is_none());
    }
}
