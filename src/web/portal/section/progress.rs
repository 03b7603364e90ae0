//! How far a financing is, and on what terms: from Stripe's summary where it is about this one, else from our own sums.

use chrono::{DateTime, Utc};

use super::phase::Figures;
use crate::financing::ledger::Totals;
use crate::financing::summary::{SummaryComparison, only};
use crate::format::money::{Money, is_currency};
use crate::offers::store::OfAccount;
use crate::stripe::{OfferedTerms, Period, SummaryDetails};

/// What was agreed, else what was offered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Terms {
    pub(super) advance: Money,
    pub(super) fee: Money,
    /// A fraction.
    pub(super) withhold_rate: f64,
}

/// How far a financing is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) total: Money,
    pub(super) paid: Money,
    pub(super) remaining: Money,
    pub(super) paid_out_at: Option<DateTime<Utc>>,
    pub(super) begins_at: Option<DateTime<Utc>>,
    /// The period that runs, where the contract has periods.
    pub(super) period: Option<Period>,
    /// Who says so.
    pub(super) by: FiguresFrom,
}

/// The source of the figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FiguresFrom {
    /// Stripe's, and our transactions add up to the same.
    Stripe,
    /// Stripe's, and our transactions add up to something else: what was paid by them, where that is another sum.
    StripeDiffers(Option<Money>),
    /// Our own, from the transactions that are known; of so many more nobody can tell what they did.
    Ledger(i64),
}

/// None where Stripe sent none, or such that no merchant should read them.
pub(super) fn terms(offer: &OfAccount) -> Option<Terms> {
    let accepted: Option<OfferedTerms> =
        offer.accepted_terms.clone().and_then(|terms| serde_json::from_value(terms).ok());
    let terms = accepted.or_else(|| {
        Some(OfferedTerms {
            advance_amount: offer.advance_minor?,
            fee_amount: offer.fee_minor?,
            currency: offer.currency.clone()?,
            withhold_rate: offer.withhold_rate?,
            campaign_type: None,
        })
    });
    let OfferedTerms { advance_amount, fee_amount, currency, withhold_rate, .. } =
        terms.filter(OfferedTerms::are_plausible)?;
    let money = |minor| Money { minor, currency: currency.to_lowercase() };
    Some(Terms { advance: money(advance_amount), fee: money(fee_amount), withhold_rate })
}

/// Stripe's summary, where it is about this financing; else what its transactions add up to.
pub(super) fn progress(
    offer: &OfAccount,
    terms: Option<&Terms>,
    known: &Figures<'_>,
) -> Option<Progress> {
    let id = offer.offer_id.as_str();
    let ours = known.totals_of(id).filter(|ours| is_currency(&ours.currency));
    if let Some((standing, details)) = known.figures_of_stripe(id) {
        let money = |minor| Money { minor, currency: details.currency.to_lowercase() };
        let by = standing.difference.map_or(FiguresFrom::Stripe, |by| {
            let ours =
                (by.paid_minor != 0).then(|| details.paid_amount.saturating_add(by.paid_minor));
            FiguresFrom::StripeDiffers(ours.map(money))
        });
        return Some(Progress {
            // A refill can make the fee of the financing before it smaller.
            total: money(details.paid_amount.saturating_add(details.remaining_amount)),
            paid: money(details.paid_amount),
            remaining: money(details.remaining_amount),
            paid_out_at: details.advance_paid_out_at,
            begins_at: details.paydown_begins_at,
            period: details.current_period.clone(),
            by,
        });
    }
    let (currency, paid, first) = match (ours, terms) {
        (Some(ours), _) => (ours.currency.clone(), ours.paid_minor, Some(ours.first_at)),
        (None, Some(terms)) => (terms.advance.currency.clone(), 0, None),
        (None, None) => return None,
    };
    let agreed = terms.and_then(|terms| terms.advance.plus(&terms.fee)).map(|total| total.minor);
    // A payout that never reached us leaves the terms to say how much it was.
    let advanced =
        ours.map(|ours| ours.advanced_minor).filter(|advanced| *advanced > 0).or(agreed)?;
    let money = |minor| Money { minor, currency: currency.clone() };
    Some(Progress {
        total: money(advanced),
        paid: money(paid),
        remaining: money(advanced.saturating_sub(paid)),
        paid_out_at: first,
        begins_at: None,
        period: None,
        by: FiguresFrom::Ledger(ours.map_or(0, |ours| ours.unclear)),
    })
}

impl Figures<'_> {
    /// What the transactions of a financing add up to.
    fn totals_of(&self, offer_id: &str) -> Option<&Totals> {
        self.totals.iter().find(|totals| totals.offer_id.as_deref() == Some(offer_id))
    }

    /// Stripe's summary, where it is about this financing and the money went out.
    fn figures_of_stripe(&self, offer_id: &str) -> Option<(&SummaryComparison, &SummaryDetails)> {
        let standing = self.standing?;
        let is_about_it = match &standing.summary.financing_offer {
            Some(named) => named.as_str() == offer_id,
            // Stripe's own example names none: then it is about the one that runs.
            None => only(self.offers.iter().filter(|offer| offer.status == "paid_out"))
                .is_some_and(|runs| runs.offer_id == offer_id),
        };
        let details = standing.summary.details.as_ref().filter(|_| is_about_it)?;
        (details.advance_paid_out_at.is_some() && is_currency(&details.currency))
            .then_some((standing, details))
    }

    /// Whether the transactions say that a payout was taken back, and Stripe's summary does not say
    /// otherwise: a canceled financing, whose status has not reached us.
    pub(super) fn is_taken_back(&self, offer_id: &str) -> bool {
        let says_otherwise =
            self.figures_of_stripe(offer_id).is_some_and(|(standing, _)| standing.is_current);
        !says_otherwise && self.totals_of(offer_id).is_some_and(|totals| totals.is_taken_back)
    }
}

impl Progress {
    /// Of a thousand parts, how many are paid: for a picture.
    pub(super) fn per_mille(&self) -> i64 {
        if self.total.minor <= 0 {
            return 0;
        }
        let part = i128::from(self.paid.minor) * 1000 / i128::from(self.total.minor);
        i64::try_from(part.clamp(0, 1000)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::portal::section::phase::tests::{now, offer, standing};
    use crate::web::portal::section::phase::{Phase, cards};

    #[test]
    fn a_payout_that_was_taken_back_is_not_owed_unless_stripe_says_that_it_runs() {
        let totals = [Totals {
            offer_id: Some("financingoffer_1".to_owned()),
            currency: "gbp".to_owned(),
            advanced_minor: 0,
            paid_minor: 0,
            withheld_minor: 0,
            remaining_minor: 0,
            unclear: 0,
            is_taken_back: true,
            first_at: now(),
            last_at: now(),
        }];
        let shown = |standing: Option<&SummaryComparison>| {
            let offers = vec![offer("financingoffer_1", "paid_out")];
            let card =
                cards(&Figures { offers, standing, totals: &totals, now: now() }).0.remove(0);
            (card.phase, card.progress.map(|progress| progress.remaining.minor))
        };
        let runs = standing("financingoffer_1");
        assert_eq!(shown(Some(&runs)), (Phase::InProgress, Some(77_000)));
        let old = SummaryComparison { is_current: false, ..runs };
        for summary in [None, Some(&old), Some(&standing("financingoffer_2"))] {
            assert_eq!(shown(summary), (Phase::Canceled, None));
        }
    }

    #[test]
    fn terms_that_no_merchant_should_read_are_not_shown() {
        for (currency, rate, advance) in [
            ("<b>", 0.15, 100_000),
            ("usd", 1e-300, 100_000),
            ("usd", 0.15, -5),
            ("usd", 0.15, i64::MAX),
        ] {
            let mut odd = offer("financingoffer_1", "delivered");
            odd.currency = Some(currency.to_owned());
            (odd.withhold_rate, odd.advance_minor) = (Some(rate), Some(advance));
            let offers = vec![odd.clone(), OfAccount { status: "paid_out".to_owned(), ..odd }];
            let (current, _) = cards(&Figures { offers, standing: None, totals: &[], now: now() });
            assert_eq!(current.len(), 2);
            assert!(
                current.iter().all(|card| card.terms.is_none() && card.progress.is_none()),
                "{currency} {rate}"
            );
        }
    }
}
