//! What a merchant is to see of an account's offers: decided here, from what is known, without a word of any language.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::financing::ledger::Totals;
use crate::financing::summary::Standing;
use crate::flow::offer::store::OfAccount;
use crate::money::Money;
use crate::stripe::{OfferId, OfferStatus, Period};

/// Where an offer is in its life, as far as the merchant is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Money went out, and some of it is still to come back.
    InProgress,
    /// The merchant applied.
    UnderReview,
    /// The merchant can apply.
    Open,
    /// All of it came back.
    PaidInFull,
    /// The review ended with a no.
    Rejected,
    /// The merchant took it back.
    Canceled,
    /// Nobody applied in time.
    Expired,
    /// It is gone, and there is nothing to say about it.
    Gone,
}

/// An offer and what there is to say about it.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) phase: Phase,
    pub(super) offer: OfAccount,
    pub(super) terms: Option<Terms>,
    pub(super) progress: Option<Progress>,
    /// It took the place of an earlier one.
    pub(super) is_replacement: bool,
}

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
    /// What our transactions add up to, where that is another sum than Stripe's.
    pub(super) differs: Option<Money>,
}

/// What is known of an account.
pub(super) struct Known<'a> {
    pub(super) offers: Vec<OfAccount>,
    pub(super) standing: Option<&'a Standing>,
    pub(super) totals: &'a [Totals],
    pub(super) now: DateTime<Utc>,
}

/// The cards in the order in which they are shown: what runs, what is decided on, what is open. Where there is none of these, how the
/// newest offer ended. And, apart, the financings that are paid in full.
pub(super) fn cards(known: &Known<'_>) -> (Vec<Card>, Vec<Card>) {
    let all: Vec<Card> = known.offers.iter().map(|offer| card(offer, known)).collect();
    let newest = all.first().cloned();
    let (past, others): (Vec<Card>, Vec<Card>) =
        all.into_iter().partition(|card| card.phase == Phase::PaidInFull);
    let mut current: Vec<Card> = others.into_iter().filter(|card| rank(card.phase).is_some()).collect();
    current.sort_by_key(|card| rank(card.phase));
    if current.is_empty() {
        let end = newest.filter(|card| !matches!(card.phase, Phase::Gone | Phase::PaidInFull));
        return (end.into_iter().collect(), past);
    }
    (current, past)
}

fn rank(phase: Phase) -> Option<u8> {
    match phase {
        Phase::InProgress => Some(0),
        Phase::UnderReview => Some(1),
        Phase::Open => Some(2),
        Phase::PaidInFull | Phase::Rejected | Phase::Canceled | Phase::Expired | Phase::Gone => None,
    }
}

fn card(offer: &OfAccount, known: &Known<'_>) -> Card {
    let phase = phase(offer, known.now);
    let terms = terms(offer);
    let progress = match phase {
        Phase::InProgress | Phase::PaidInFull => progress(offer, terms.as_ref(), known),
        Phase::UnderReview
        | Phase::Open
        | Phase::Rejected
        | Phase::Canceled
        | Phase::Expired
        | Phase::Gone => None,
    };
    let is_replacement = offer.replacement_for_offer_id.is_some();
    Card { phase, offer: offer.clone(), terms, progress, is_replacement }
}

fn phase(offer: &OfAccount, now: DateTime<Utc>) -> Phase {
    match OfferStatus::from(offer.status.clone()) {
        OfferStatus::Undelivered | OfferStatus::Delivered => {
            // Stripe's event about the end may be on its way.
            if offer.expires_at.is_some_and(|end| end <= now) { Phase::Expired } else { Phase::Open }
        }
        OfferStatus::Accepted => Phase::UnderReview,
        OfferStatus::PaidOut => Phase::InProgress,
        OfferStatus::FullyRepaid | OfferStatus::Completed => Phase::PaidInFull,
        // What took its place is shown instead.
        OfferStatus::Rejected if offer.replacement_offer_id.is_some() => Phase::Gone,
        OfferStatus::Rejected => Phase::Rejected,
        OfferStatus::Canceled => Phase::Canceled,
        OfferStatus::Expired => Phase::Expired,
        OfferStatus::Replaced
        | OfferStatus::Revoked
        | OfferStatus::AcceptedOtherOffer
        | OfferStatus::Other(_) => Phase::Gone,
    }
}

/// As far as `accepted_terms` is read.
#[derive(Deserialize)]
struct Accepted {
    advance_amount: i64,
    fee_amount: i64,
    currency: String,
    withhold_rate: f64,
}

fn terms(offer: &OfAccount) -> Option<Terms> {
    let accepted = offer.accepted_terms.clone().and_then(|terms| serde_json::from_value(terms).ok());
    let Accepted { advance_amount, fee_amount, currency, withhold_rate } = accepted.or_else(|| {
        Some(Accepted {
            advance_amount: offer.advance_minor?,
            fee_amount: offer.fee_minor?,
            currency: offer.currency.clone()?,
            withhold_rate: offer.withhold_rate?,
        })
    })?;
    let money = |minor| Money { minor, currency: currency.clone() };
    Some(Terms { advance: money(advance_amount), fee: money(fee_amount), withhold_rate })
}

/// Stripe's summary, where it is about this financing; else what its transactions add up to.
fn progress(offer: &OfAccount, terms: Option<&Terms>, known: &Known<'_>) -> Option<Progress> {
    let id = offer.offer_id.as_str();
    let ours = known.totals.iter().find(|totals| totals.offer_id.as_deref() == Some(id));
    let summary = known
        .standing
        .filter(|standing| standing.summary.financing_offer.as_ref().map(OfferId::as_str) == Some(id));
    if let Some(standing) = summary
        && let Some(details) = &standing.summary.details
        && details.advance_paid_out_at.is_some()
    {
        let money = |minor| Money { minor, currency: details.currency.clone() };
        let differs = standing.difference.map(|by| money(details.paid_amount.saturating_add(by.paid_minor)));
        return Some(Progress {
            total: money(details.advance_amount.saturating_add(details.fee_amount)),
            paid: money(details.paid_amount),
            remaining: money(details.remaining_amount),
            paid_out_at: details.advance_paid_out_at,
            begins_at: details.paydown_begins_at,
            period: details.current_period.clone(),
            differs,
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
        differs: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> DateTime<Utc> {
        "2026-11-25T12:00:00Z".parse().unwrap()
    }

    fn offer(id: &str, status: &str) -> OfAccount {
        OfAccount {
            offer_id: id.to_owned(),
            status: status.to_owned(),
            livemode: false,
            product_type: Some("standard".to_owned()),
            financing_type: Some("flex_loan".to_owned()),
            disclaimer_variant: None,
            currency: Some("usd".to_owned()),
            advance_minor: Some(100_000),
            fee_minor: Some(10_000),
            withhold_rate: Some(0.15),
            replacement_offer_id: None,
            replacement_for_offer_id: None,
            created_at: now(),
            expires_at: Some("2026-12-20T12:00:00Z".parse().unwrap()),
            accepted_terms: None,
        }
    }

    fn phases(offers: Vec<OfAccount>) -> (Vec<Phase>, usize) {
        let (current, past) = cards(&Known { offers, standing: None, totals: &[], now: now() });
        (current.iter().map(|card| card.phase).collect(), past.len())
    }

    #[test]
    fn what_runs_comes_first_and_an_end_is_told_only_where_nothing_else_is() {
        use Phase::{Canceled, Expired, InProgress, Open, Rejected, UnderReview};
        let all = ["delivered", "accepted", "paid_out", "fully_repaid", "rejected"];
        let all = all.iter().map(|status| offer(status, status)).collect();
        assert_eq!(phases(all), (vec![InProgress, UnderReview, Open], 1));
        for (status, phase) in [("rejected", Rejected), ("canceled", Canceled), ("expired", Expired)] {
            let offers = vec![offer("new", status), offer("old", "fully_repaid")];
            assert_eq!(phases(offers), (vec![phase], 1), "{status}");
            // An end before a financing that was paid in full is old news.
            let offers = vec![offer("new", "fully_repaid"), offer("old", status)];
            assert_eq!(phases(offers), (vec![], 1), "{status}");
        }
        for status in ["revoked", "replaced", "accepted_other_offer", "something_newer"] {
            assert_eq!(phases(vec![offer("new", status)]), (vec![], 0), "{status}");
        }
        assert_eq!(phases(Vec::new()), (vec![], 0));
    }

    #[test]
    fn an_offer_whose_time_is_over_is_not_open_whatever_its_status() {
        let mut late = offer("late", "delivered");
        late.expires_at = Some(now());
        assert_eq!(phases(vec![late]), (vec![Phase::Expired], 0));
    }

    #[test]
    fn of_a_counter_offer_the_new_one_is_shown_alone() {
        let mut refused = offer("old", "rejected");
        refused.replacement_offer_id = Some("new".to_owned());
        let mut better = offer("new", "delivered");
        better.replacement_for_offer_id = Some("old".to_owned());
        let (current, _) =
            cards(&Known { offers: vec![better, refused.clone()], standing: None, totals: &[], now: now() });
        assert_eq!(current.len(), 1);
        assert!(current[0].is_replacement);
        assert_eq!(phases(vec![refused]), (vec![], 0));
    }

    #[test]
    fn two_financings_at_once_have_a_progress_each_by_whoever_knows_it() {
        let standing = Standing {
            summary: serde_json::from_value(json!({
                "status": "accepted", "financing_offer": "financingoffer_new",
                "details": {"advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": 33_000, "remaining_amount": 77_000,
                            "currency": "gbp", "withhold_rate": 0.1, "advance_paid_out_at": 1_790_000_000_000_i64},
            }))
            .unwrap(),
            as_of: now(),
            is_current: true,
            totals: Vec::new(),
            difference: None,
        };
        let totals = [Totals {
            offer_id: Some("financingoffer_old".to_owned()),
            currency: "gbp".to_owned(),
            advanced_minor: 50_000,
            paid_minor: 49_999,
            withheld_minor: 49_999,
            remaining_minor: 1,
            unclear: 0,
            first_at: now(),
            last_at: now(),
        }];
        let offers = vec![offer("financingoffer_new", "paid_out"), offer("financingoffer_old", "paid_out")];
        let known = Known { offers, standing: Some(&standing), totals: &totals, now: now() };
        let progress: Vec<(i64, i64, i64)> = cards(&known)
            .0
            .iter()
            .map(|card| card.progress.as_ref().unwrap())
            .map(|progress| (progress.total.minor, progress.remaining.minor, progress.per_mille()))
            .collect();
        assert_eq!(progress, [(110_000, 77_000, 300), (50_000, 1, 999)]);
    }

    #[test]
    fn what_was_agreed_counts_more_than_what_was_offered() {
        let mut agreed = offer("financingoffer_1", "paid_out");
        agreed.accepted_terms = Some(json!({
            "advance_amount": 80_000, "fee_amount": 8_000, "currency": "usd", "withhold_rate": 0.12,
            "previous_financing_fee_discount_amount": null,
        }));
        let (current, _) = cards(&Known { offers: vec![agreed], standing: None, totals: &[], now: now() });
        let progress = current[0].progress.as_ref().unwrap();
        assert_eq!((progress.total.minor, progress.paid.minor, progress.per_mille()), (88_000, 0, 0));
        assert_eq!(current[0].terms.as_ref().unwrap().withhold_rate.to_string(), "0.12");
    }
}
