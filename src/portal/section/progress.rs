//! How far a financing is, and on what terms: from Stripe's summary where it is about this one, else from our own sums.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::phase::Known;
use crate::financing::summary::only;
use crate::flow::offer::store::OfAccount;
use crate::money::Money;
use crate::stripe::Period;

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
    pub(super) by: By,
}

/// Whose figures they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Stripe's, and our transactions add up to the same.
    Stripe,
    /// Stripe's, and our transactions add up to something else: what was paid by them, where that is another sum.
    StripeAlone(Option<Money>),
    /// Our own, from the transactions that are known; of so many more nobody can tell what they did.
    Us(i64),
}

/// As far as `accepted_terms` is read.
#[derive(Deserialize)]
struct Accepted {
    advance_amount: i64,
    fee_amount: i64,
    currency: String,
    withhold_rate: f64,
}

pub(super) fn terms(offer: &OfAccount) -> Option<Terms> {
    let accepted = offer.accepted_terms.clone().and_then(|terms| serde_json::from_value(terms).ok());
    let Accepted { advance_amount, fee_amount, currency, withhold_rate } = accepted.or_else(|| {
        Some(Accepted {
            advance_amount: offer.advance_minor?,
            fee_amount: offer.fee_minor?,
            currency: offer.currency.clone()?,
            withhold_rate: offer.withhold_rate?,
        })
    })?;
    let money = |minor| Money { minor, currency: currency.to_lowercase() };
    Some(Terms { advance: money(advance_amount), fee: money(fee_amount), withhold_rate })
}

/// Stripe's summary, where it is about this financing; else what its transactions add up to.
pub(super) fn progress(offer: &OfAccount, terms: Option<&Terms>, known: &Known<'_>) -> Option<Progress> {
    let id = offer.offer_id.as_str();
    let ours = known.totals.iter().find(|totals| totals.offer_id.as_deref() == Some(id));
    let summary = known.standing.filter(|standing| match &standing.summary.financing_offer {
        Some(named) => named.as_str() == id,
        // Stripe's own example names none: then it is about the one that runs.
        None => only(known.offers.iter().filter(|offer| offer.status == "paid_out"))
            .is_some_and(|runs| runs.offer_id == id),
    });
    if let Some(standing) = summary
        && let Some(details) = &standing.summary.details
        && details.advance_paid_out_at.is_some()
    {
        let money = |minor| Money { minor, currency: details.currency.to_lowercase() };
        let by = standing.difference.map_or(By::Stripe, |by| {
            let ours = (by.paid_minor != 0).then(|| details.paid_amount.saturating_add(by.paid_minor));
            By::StripeAlone(ours.map(money))
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
    let advanced = ours.map(|ours| ours.advanced_minor).filter(|advanced| *advanced > 0).or(agreed)?;
    let money = |minor| Money { minor, currency: currency.clone() };
    Some(Progress {
        total: money(advanced),
        paid: money(paid),
        remaining: money(advanced.saturating_sub(paid)),
        paid_out_at: first,
        begins_at: None,
        period: None,
        by: By::Us(ours.map_or(0, |ours| ours.unclear)),
    })
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
