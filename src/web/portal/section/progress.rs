//! The terms and progress of a financing: from Stripe's summary if it covers the financing,
//! otherwise from the ledger.

use chrono::{DateTime, Utc};

use crate::financing::ledger::Totals;
use crate::financing::summary::{SummaryComparison, only};
use crate::format::money::{Money, is_currency};
use crate::offers::store::{AccountOffer, Terms};
use crate::stripe::{OfferedTerms, Period, SummaryDetails};

/// The accepted terms, otherwise the offered ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FinancingTerms {
    pub(super) advance: Money,
    pub(super) fee: Money,
    /// A fraction.
    pub(super) withhold_rate: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) total: Money,
    pub(super) paid: Money,
    pub(super) remaining: Money,
    pub(super) paid_out_at: Option<DateTime<Utc>>,
    pub(super) begins_at: Option<DateTime<Utc>>,
    /// The time of the last transaction that the ledger has.
    pub(super) last_at: Option<DateTime<Utc>>,
    /// Stripe's pages accept a payment.
    pub(super) is_payable: bool,
    /// Open from earlier periods; never zero.
    pub(super) overdue: Option<Money>,
    /// The current period, if the contract has periods.
    pub(super) period: Option<Period>,
    pub(super) source: FiguresFrom,
}

/// The inputs: an account's offers, with Stripe's summary and the ledger's totals.
pub(super) struct Figures<'a> {
    pub(super) offers: Vec<AccountOffer>,
    pub(super) comparison: Option<&'a SummaryComparison>,
    pub(super) totals: &'a [Totals],
    pub(super) now: DateTime<Utc>,
    /// The account's.
    pub(super) country: Option<&'a str>,
}

/// The source of the amounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FiguresFrom {
    /// Stripe's summary; the ledger agrees.
    Stripe,
    /// Stripe's summary; the ledger differs. If the paid amounts differ, the ledger's.
    StripeDiffers(Option<Money>),
    /// The ledger; so many transactions of unknown effect are left out.
    Ledger(i64),
}

/// `None` if Stripe sent none, or implausible ones that must not be shown to a merchant. Nor may
/// those of an unknown product: its fields may mean something else.
pub(super) fn terms(offer: &AccountOffer) -> Option<FinancingTerms> {
    if offer.has_unknown_product() {
        return None;
    }
    // Incomplete accepted terms must not hide complete offered ones.
    let complete = |terms: Terms| {
        Some(OfferedTerms {
            advance_amount: terms.advance_minor?,
            fee_amount: terms.fee_minor?,
            currency: terms.currency,
            withhold_rate: terms.withhold_rate?,
            campaign_type: None,
            fee_discount_rate: None,
            repayment_interval: None,
        })
    };
    let terms = offer.accepted().and_then(complete).or_else(|| offer.offered().and_then(complete));
    let OfferedTerms { advance_amount, fee_amount, currency, withhold_rate, .. } =
        terms.filter(OfferedTerms::are_plausible)?;
    let money = |minor| Money { minor, currency: currency.to_lowercase() };
    Some(FinancingTerms { advance: money(advance_amount), fee: money(fee_amount), withhold_rate })
}

/// From Stripe's summary if it covers this financing, otherwise from the ledger's totals.
pub(super) fn progress(
    offer: &AccountOffer,
    terms: Option<&FinancingTerms>,
    figures: &Figures<'_>,
) -> Option<Progress> {
    let id = offer.offer_id.as_str();
    let ledger = figures.totals_of(id).filter(|ledger| is_currency(&ledger.currency));
    if let Some((comparison, details)) = figures.summary_of(id) {
        let money = |minor| Money { minor, currency: details.currency.to_lowercase() };
        let source = comparison.difference.map_or(FiguresFrom::Stripe, |difference| {
            let ledger = (difference.paid_minor != 0)
                .then(|| details.paid_amount.saturating_add(difference.paid_minor));
            FiguresFrom::StripeDiffers(ledger.map(money))
        });
        let sum = details.paid_amount.saturating_add(details.remaining_amount);
        return Some(Progress {
            // Not advance plus fee: a refill can reduce the fee of the financing that it takes
            // over.
            total: money(details.total_due_amount.map_or(sum, |total| total.max(sum))),
            paid: money(details.paid_amount),
            remaining: money(details.remaining_amount),
            paid_out_at: details.advance_paid_out_at,
            begins_at: details.paydown_begins_at,
            last_at: ledger.map(|ledger| ledger.last_at),
            is_payable: details
                .enabled_payment_types
                .as_ref()
                .is_some_and(|types| types.iter().any(|kind| kind == "manual_payment")),
            overdue: details.overdue_amount.filter(|minor| *minor > 0).map(money),
            period: details.current_period.clone(),
            source,
        });
    }
    let (currency, paid, first) = match (ledger, terms) {
        (Some(ledger), _) => (ledger.currency.clone(), ledger.paid_minor, Some(ledger.first_at)),
        (None, Some(terms)) => (terms.advance.currency.clone(), 0, None),
        (None, None) => return None,
    };
    let agreed = terms.and_then(|terms| terms.advance.plus(&terms.fee)).map(|total| total.minor);
    // If the payout's event never arrived, the terms give the amount.
    let advanced =
        ledger.map(|ledger| ledger.advanced_minor).filter(|advanced| *advanced > 0).or(agreed)?;
    let discounted = ledger.map_or(0, |ledger| ledger.discounted_minor);
    let due = advanced.saturating_sub(discounted);
    let money = |minor| Money { minor, currency: currency.clone() };
    Some(Progress {
        total: money(due),
        paid: money(paid),
        remaining: money(due.saturating_sub(paid)),
        paid_out_at: first,
        begins_at: None,
        last_at: ledger.map(|ledger| ledger.last_at),
        is_payable: false,
        overdue: None,
        period: None,
        source: FiguresFrom::Ledger(ledger.map_or(0, |ledger| ledger.unclear)),
    })
}

impl Figures<'_> {
    fn totals_of(&self, offer_id: &str) -> Option<&Totals> {
        self.totals.iter().find(|totals| totals.offer_id.as_deref() == Some(offer_id))
    }

    /// Stripe's summary, if it covers this financing and the advance was paid out.
    fn summary_of(&self, offer_id: &str) -> Option<(&SummaryComparison, &SummaryDetails)> {
        let comparison = self.comparison?;
        let is_about_it = match &comparison.summary.financing_offer {
            Some(named) => named.as_str() == offer_id,
            // Stripe's own example names no offer: then the only running financing is meant.
            None => only(self.offers.iter().filter(|offer| offer.status == "paid_out"))
                .is_some_and(|runs| runs.offer_id == offer_id),
        };
        let details = comparison.summary.details.as_ref().filter(|_| is_about_it)?;
        (details.advance_paid_out_at.is_some() && is_currency(&details.currency))
            .then_some((comparison, details))
    }

    /// Whether the ledger shows that the payout was taken back and Stripe's current summary does
    /// not contradict: a canceled financing whose status update has not arrived.
    pub(super) fn is_taken_back(&self, offer_id: &str) -> bool {
        let is_contradicted =
            self.summary_of(offer_id).is_some_and(|(comparison, _)| comparison.is_current);
        !is_contradicted && self.totals_of(offer_id).is_some_and(|totals| totals.is_taken_back)
    }
}

impl Progress {
    pub(super) fn per_mille(&self) -> i64 {
        per_mille(self.paid.minor, self.total.minor)
    }
}

/// A part in thousandths, for a bar: from 0 to 1000.
pub(super) fn per_mille(part: i64, of: i64) -> i64 {
    if of <= 0 {
        return 0;
    }
    let part = i128::from(part) * 1000 / i128::from(of);
    i64::try_from(part.clamp(0, 1000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::portal::section::phase::tests::{comparison, now, offer};
    use crate::web::portal::section::phase::{Phase, cards};

    #[test]
    fn a_payout_that_was_taken_back_is_canceled_unless_stripe_reports_it_as_running() {
        let totals = [Totals {
            offer_id: Some("financingoffer_1".to_owned()),
            currency: "gbp".to_owned(),
            advanced_minor: 0,
            paid_minor: 0,
            withheld_minor: 0,
            discounted_minor: 0,
            remaining_minor: 0,
            unclear: 0,
            is_taken_back: true,
            first_at: now(),
            last_at: now(),
        }];
        let shown = |comparison: Option<&SummaryComparison>| {
            let offers = vec![offer("financingoffer_1", "paid_out")];
            let card =
                cards(&Figures { offers, comparison, totals: &totals, now: now(), country: None })
                    .0
                    .remove(0);
            (card.phase, card.progress.map(|progress| progress.remaining.minor))
        };
        let runs = comparison("financingoffer_1");
        assert_eq!(shown(Some(&runs)), (Phase::InProgress, Some(77_000)));
        let old = SummaryComparison { is_current: false, ..runs };
        for summary in [None, Some(&old), Some(&comparison("financingoffer_2"))] {
            assert_eq!(shown(summary), (Phase::Canceled, None));
        }
    }

    #[test]
    fn implausible_terms_are_not_shown() {
        for (currency, rate, advance) in [
            ("<b>", 0.15, 100_000),
            ("usd", 1e-300, 100_000),
            ("usd", 0.15, -5),
            ("usd", 0.15, i64::MAX),
        ] {
            let mut odd = offer("financingoffer_1", "delivered");
            odd.currency = Some(currency.to_owned());
            (odd.withhold_rate, odd.advance_minor) = (Some(rate), Some(advance));
            let offers = vec![odd.clone(), AccountOffer { status: "paid_out".to_owned(), ..odd }];
            let (current, _) = cards(&Figures {
                offers,
                comparison: None,
                totals: &[],
                now: now(),
                country: None,
            });
            assert_eq!(current.len(), 2);
            assert!(
                current.iter().all(|card| card.terms.is_none() && card.progress.is_none()),
                "{currency} {rate}"
            );
        }
    }
}
