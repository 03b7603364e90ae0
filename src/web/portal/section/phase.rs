//! Which offers of an account are shown, in which order, and in which phase of their life each is.

use super::progress::{Figures, FiguresFrom, FinancingTerms, Progress, progress, terms};
use crate::offers::store::AccountOffer;
use crate::stripe::{OfferStatus, Refill};

/// The phase of an offer as the merchant sees it, in display order; the names are used by the
/// template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Phase {
    /// Paid out and not yet paid back.
    InProgress,
    /// Applied for.
    UnderReview,
    /// Open for an application.
    Open,
    /// Paid back.
    PaidInFull,
    /// The application was rejected.
    Rejected,
    /// Canceled by the merchant, or the payout was taken back.
    Canceled,
    /// Expired without an application.
    Expired,
    /// Not shown, such as an offer that was replaced.
    Gone,
}

/// An offer with the data to show.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) phase: Phase,
    pub(super) offer: AccountOffer,
    pub(super) terms: Option<FinancingTerms>,
    pub(super) progress: Option<Progress>,
    /// For running financings.
    pub(super) paydown_order: PaydownOrder,
}

/// The order of paydown among financings that run at once. If refills stack, the rate of the newest
/// applies, and what is withheld pays the oldest first (<https://docs.stripe.com/capital/refills>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PaydownOrder {
    /// The only one that runs.
    Only,
    /// The oldest: it receives the withheld share, at the newest one's rate (a fraction, if known).
    First(Option<f64>),
    /// An older one is paid first.
    Queued,
    /// One of several whose order Stripe does not document.
    Unknown,
}

impl Card {
    /// Whether it has not ended.
    fn is_current(&self) -> bool {
        matches!(self.phase, Phase::InProgress | Phase::UnderReview | Phase::Open)
    }

    /// Whether it is open, and Stripe has not been told of its delivery or has not acknowledged it.
    pub(super) fn is_undelivered(&self) -> bool {
        let status = OfferStatus::from(self.offer.status.clone());
        self.phase == Phase::Open && status == OfferStatus::Undelivered
    }

    /// Whether a share of sales is withheld for it: not after Stripe wrote it off.
    fn is_paid_from_sales(&self) -> bool {
        self.phase == Phase::InProgress && self.offer.charged_off_at.is_none()
    }

    pub(super) fn has_stripes_figures(&self) -> bool {
        self.phase == Phase::InProgress
            && self
                .progress
                .as_ref()
                .is_some_and(|progress| !matches!(progress.source, FiguresFrom::Ledger(_)))
    }
}

/// The cards in display order, and separately the financings that are paid in full. Running
/// financings come first, then applications, then open offers; last the outcome of the newest
/// offer, if nothing has been applied for or opened since.
pub(super) fn cards(figures: &Figures<'_>) -> (Vec<Card>, Vec<Card>) {
    let all: Vec<Card> = figures.offers.iter().map(|offer| card(offer, figures)).collect();
    let outcome = newest_outcome(&all).cloned();
    let (past, others): (Vec<Card>, Vec<Card>) =
        all.into_iter().partition(|card| card.phase == Phase::PaidInFull);
    let mut current: Vec<Card> = others.into_iter().filter(Card::is_current).collect();
    // Stable: the cards of a phase stay newest first.
    current.sort_by_key(|card| card.phase);
    set_paydown_order(&mut current, figures.country);
    if current.iter().all(|card| card.phase == Phase::InProgress) {
        current.extend(outcome);
    }
    (current, past)
}

/// How the newest offer ended, if it did. To a merchant with a financing, an offer that expired is
/// not worth a card.
fn newest_outcome(all: &[Card]) -> Option<&Card> {
    let has_financing = all.iter().any(|card| card.phase == Phase::InProgress);
    let is_shown = |card: &&Card| {
        card.phase != Phase::Gone && !(has_financing && card.phase == Phase::Expired)
    };
    let newest = all.iter().find(is_shown)?;
    // Any other phase means that the newest offer has its own card.
    matches!(newest.phase, Phase::Rejected | Phase::Canceled | Phase::Expired).then_some(newest)
}

/// `cards` is sorted newest first.
fn set_paydown_order(cards: &mut [Card], country: Option<&str>) {
    let mut running: Vec<&mut Card> =
        cards.iter_mut().filter(|card| card.is_paid_from_sales()).collect();
    // A single financing keeps its own rate.
    if running.len() < 2 {
        return;
    }
    let stacks =
        |card: &&mut Card| card.offer.product_terms(country).refill == Some(Refill::Stacks);
    // Where a refill settles the older financing, that one ends as soon as its update arrives.
    if !running.iter().all(stacks) {
        for card in running {
            card.paydown_order = PaydownOrder::Unknown;
        }
        return;
    }
    let rate =
        running.first().and_then(|newest| newest.terms.as_ref()).map(|terms| terms.withhold_rate);
    if let Some((oldest, younger)) = running.split_last_mut() {
        oldest.paydown_order = PaydownOrder::First(rate);
        for card in younger {
            card.paydown_order = PaydownOrder::Queued;
        }
    }
}

fn card(offer: &AccountOffer, figures: &Figures<'_>) -> Card {
    let phase = phase(offer, figures);
    let terms = terms(offer);
    let is_paid_out = matches!(phase, Phase::InProgress | Phase::PaidInFull);
    let progress = if is_paid_out { progress(offer, terms.as_ref(), figures) } else { None };
    Card { phase, offer: offer.clone(), terms, progress, paydown_order: PaydownOrder::Only }
}

fn phase(offer: &AccountOffer, figures: &Figures<'_>) -> Phase {
    let has_successor = || {
        let id = Some(offer.offer_id.as_str());
        figures.offers.iter().any(|other| other.replacement_for_offer_id.as_deref() == id)
    };
    match OfferStatus::from(offer.status.clone()) {
        // The event that ends the replaced offer may still be on its way.
        OfferStatus::Undelivered | OfferStatus::Delivered if has_successor() => Phase::Gone,
        OfferStatus::Undelivered | OfferStatus::Delivered => {
            if offer.expires_at.is_some_and(|end| end <= figures.now) {
                Phase::Expired
            } else {
                Phase::Open
            }
        }
        OfferStatus::Accepted => Phase::UnderReview,
        OfferStatus::PaidOut if figures.is_taken_back(&offer.offer_id) => Phase::Canceled,
        OfferStatus::PaidOut => Phase::InProgress,
        OfferStatus::FullyRepaid | OfferStatus::Completed => Phase::PaidInFull,
        // The replacement is shown instead.
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::financing::ledger::Totals;
    use crate::financing::summary::{Difference, SummaryComparison};
    use crate::format::money::Money;
    use chrono::{DateTime, Utc};
    use serde_json::json;

    pub(in crate::web::portal::section) fn now() -> DateTime<Utc> {
        "2026-11-25T12:00:00Z".parse().unwrap()
    }

    pub(in crate::web::portal::section) fn offer(id: &str, status: &str) -> AccountOffer {
        AccountOffer {
            offer_id: id.to_owned(),
            status: status.to_owned(),
            livemode: false,
            product_type: Some("standard".to_owned()),
            financing_type: Some("flex_loan".to_owned()),
            campaign_type: None,
            disclaimer_variant: None,
            currency: Some("usd".to_owned()),
            advance_minor: Some(100_000),
            fee_minor: Some(10_000),
            withhold_rate: Some(0.15),
            replacement_offer_id: None,
            replacement_for_offer_id: None,
            charged_off_at: None,
            created_at: now(),
            expires_at: Some("2026-12-20T12:00:00Z".parse().unwrap()),
            object: serde_json::Value::Null,
        }
    }

    pub(in crate::web::portal::section) fn comparison(offer: &str) -> SummaryComparison {
        let summary = json!({
            "status": "accepted", "financing_offer": offer,
            "details": {
                "advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": 33_000,
                "remaining_amount": 77_000, "currency": "gbp", "withhold_rate": 0.1,
                "advance_paid_out_at": 1_790_000_000_000_i64,
            },
        });
        SummaryComparison {
            summary: serde_json::from_value(summary).unwrap(),
            as_of: now(),
            is_current: true,
            totals: Vec::new(),
            difference: None,
        }
    }

    fn phases(offers: Vec<AccountOffer>) -> (Vec<Phase>, usize) {
        let (current, past) =
            cards(&Figures { offers, comparison: None, totals: &[], now: now(), country: None });
        (current.iter().map(|card| card.phase).collect(), past.len())
    }

    #[test]
    fn running_financings_come_first_and_an_outcome_is_shown_only_without_anything_newer() {
        use Phase::{Canceled, Expired, InProgress, Open, Rejected, UnderReview};
        let all = ["delivered", "accepted", "paid_out", "fully_repaid", "rejected"];
        let all = all.iter().map(|status| offer(status, status)).collect();
        assert_eq!(phases(all), (vec![InProgress, UnderReview, Open], 1));
        for (status, phase) in
            [("rejected", Rejected), ("canceled", Canceled), ("expired", Expired)]
        {
            let offers = vec![offer("new", status), offer("old", "fully_repaid")];
            assert_eq!(phases(offers), (vec![phase], 1), "{status}");
            // An outcome before a financing that was paid in full is old news.
            let offers = vec![offer("new", "fully_repaid"), offer("old", status)];
            assert_eq!(phases(offers), (vec![], 1), "{status}");
            // So is one before a running or open one.
            for now in ["paid_out", "accepted", "delivered"] {
                assert_eq!(
                    phases(vec![offer("new", now), offer("old", status)]).0.len(),
                    1,
                    "{now}, {status}"
                );
            }
        }
        for status in ["revoked", "replaced", "accepted_other_offer", "something_newer"] {
            assert_eq!(phases(vec![offer("new", status)]), (vec![], 0), "{status}");
        }
        assert_eq!(phases(Vec::new()), (vec![], 0));
        // An offer that was given up for another is not shown; the other one is.
        let offers = vec![offer("other", "accepted_other_offer"), offer("taken", "rejected")];
        assert_eq!(phases(offers), (vec![Rejected], 0));
    }

    #[test]
    fn the_outcome_of_an_application_is_shown_beside_a_running_financing() {
        use Phase::{Canceled, InProgress, Open, Rejected};
        for (status, end) in
            [("rejected", vec![Rejected]), ("canceled", vec![Canceled]), ("expired", vec![])]
        {
            let offers = vec![offer("refill", status), offer("running", "paid_out")];
            assert_eq!(phases(offers), ([vec![InProgress], end].concat(), 0), "{status}");
        }
        let offers = vec![
            offer("better", "delivered"),
            offer("refill", "rejected"),
            offer("running", "paid_out"),
        ];
        assert_eq!(phases(offers), (vec![InProgress, Open], 0));
    }

    #[test]
    fn of_several_running_financings_the_oldest_is_paid_at_the_newest_ones_rate() {
        use PaydownOrder::{First, Only, Queued, Unknown};
        let orders = |offers: &[AccountOffer], country| {
            let offers = offers.to_vec();
            let figures = Figures { offers, comparison: None, totals: &[], now: now(), country };
            let (current, _) = cards(&figures);
            current.iter().map(|card| card.paydown_order).collect::<Vec<_>>()
        };
        let mut newest = offer("newest", "paid_out");
        newest.withhold_rate = Some(0.2);
        let running = [newest, offer("middle", "paid_out"), offer("oldest", "paid_out")];
        assert_eq!(orders(&running, Some("GB")), [Queued, Queued, First(Some(0.2))]);
        // A refill settles the older one, or nothing is documented.
        for country in [Some("US"), Some("AU"), Some("CA"), None] {
            assert_eq!(orders(&running, country), [Unknown; 3], "{country:?}");
        }
        let mut unknown = offer("unknown", "paid_out");
        unknown.financing_type = Some("line_of_credit".to_owned());
        let running = [offer("newest", "paid_out"), unknown];
        assert_eq!(orders(&running, Some("GB")), [Unknown; 2]);

        let mut over = offer("over", "paid_out");
        over.charged_off_at = Some(now());
        for country in ["GB", "US", "CA"] {
            let offers = [offer("running", "paid_out"), over.clone()];
            assert_eq!(orders(&offers, Some(country)), [Only; 2], "{country}");
        }
    }

    #[test]
    fn a_replaced_offer_is_not_open_whatever_its_status() {
        let mut new = offer("new", "delivered");
        new.replacement_for_offer_id = Some("old".to_owned());
        assert_eq!(phases(vec![new, offer("old", "delivered")]), (vec![Phase::Open], 0));
    }

    #[test]
    fn a_summary_without_an_offer_id_is_about_the_only_running_financing() {
        let mut nameless = comparison("financingoffer_1");
        nameless.summary.financing_offer = None;
        let by = |statuses: [(&str, &str); 2]| {
            let offers = statuses.map(|(id, status)| offer(id, status)).to_vec();
            let (current, past) = cards(&Figures {
                offers,
                comparison: Some(&nameless),
                totals: &[],
                now: now(),
                country: None,
            });
            let all = current.into_iter().chain(past);
            all.map(|card| card.progress.map(|progress| progress.source)).collect::<Vec<_>>()
        };
        let ours = || Some(FiguresFrom::Ledger(0));
        assert_eq!(
            by([("new", "paid_out"), ("old", "fully_repaid")]),
            [Some(FiguresFrom::Stripe), ours()]
        );
        assert_eq!(by([("new", "paid_out"), ("old", "paid_out")]), [ours(), ours()]);
        assert_eq!(by([("new", "accepted"), ("old", "fully_repaid")]), [None, ours()]);
    }

    #[test]
    fn a_difference_to_stripes_summary_shows_the_ledgers_amount() {
        let paid = |advanced_minor, paid_minor| {
            let remaining_minor = advanced_minor - paid_minor;
            let difference = Difference { advanced_minor, paid_minor, remaining_minor };
            let comparison = SummaryComparison {
                difference: Some(difference),
                ..comparison("financingoffer_1")
            };
            let offers = vec![offer("financingoffer_1", "paid_out")];
            let figures = Figures {
                offers,
                comparison: Some(&comparison),
                totals: &[],
                now: now(),
                country: None,
            };
            cards(&figures).0[0].progress.clone().unwrap().source
        };
        let usd = |minor| Money { minor, currency: "gbp".to_owned() };
        assert_eq!(paid(0, -3_000), FiguresFrom::StripeDiffers(Some(usd(30_000))));
        // The payout's event never arrived: every payment is known.
        assert_eq!(paid(-110_000, 0), FiguresFrom::StripeDiffers(None));
    }

    #[test]
    fn an_expired_offer_is_not_open_whatever_its_status() {
        let mut late = offer("late", "delivered");
        late.expires_at = Some(now());
        assert_eq!(phases(vec![late]), (vec![Phase::Expired], 0));
    }

    #[test]
    fn of_a_counter_offer_only_the_new_one_is_shown() {
        let mut refused = offer("old", "rejected");
        refused.replacement_offer_id = Some("new".to_owned());
        let mut better = offer("new", "delivered");
        better.replacement_for_offer_id = Some("old".to_owned());
        let (current, _) = cards(&Figures {
            offers: vec![better, refused.clone()],
            comparison: None,
            totals: &[],
            now: now(),
            country: None,
        });
        assert_eq!(current.len(), 1);
        assert_eq!(current[0].offer.offer_id, "new");
        assert_eq!(phases(vec![refused]), (vec![], 0));
    }

    #[test]
    fn two_running_financings_each_have_their_own_source_of_progress() {
        let comparison = comparison("financingoffer_new");
        let totals = [Totals {
            offer_id: Some("financingoffer_old".to_owned()),
            currency: "gbp".to_owned(),
            advanced_minor: 50_000,
            paid_minor: 49_999,
            withheld_minor: 49_999,
            discounted_minor: 0,
            remaining_minor: 1,
            unclear: 2,
            is_taken_back: false,
            first_at: now(),
            last_at: now(),
        }];
        let offers =
            vec![offer("financingoffer_new", "paid_out"), offer("financingoffer_old", "paid_out")];
        let figures = Figures {
            offers,
            comparison: Some(&comparison),
            totals: &totals,
            now: now(),
            country: None,
        };
        let progress: Vec<(i64, i64, i64, FiguresFrom)> = cards(&figures)
            .0
            .into_iter()
            .map(|card| card.progress.unwrap())
            .map(|its| (its.total.minor, its.remaining.minor, its.per_mille(), its.source))
            .collect();
        assert_eq!(
            progress,
            [(110_000, 77_000, 300, FiguresFrom::Stripe), (50_000, 1, 999, FiguresFrom::Ledger(2))]
        );
    }

    #[test]
    fn accepted_terms_take_precedence_over_offered_ones() {
        let mut agreed = offer("financingoffer_1", "paid_out");
        agreed.object = json!({"accepted_terms": {
            "advance_amount": 80_000, "fee_amount": 8_000, "currency": "usd", "withhold_rate": 0.12,
            "previous_financing_fee_discount_amount": null,
        }});
        let (current, _) = cards(&Figures {
            offers: vec![agreed],
            comparison: None,
            totals: &[],
            now: now(),
            country: None,
        });
        let progress = current[0].progress.as_ref().unwrap();
        assert_eq!(
            (progress.total.minor, progress.paid.minor, progress.per_mille()),
            (88_000, 0, 0)
        );
        assert_eq!(current[0].terms.as_ref().unwrap().withhold_rate.to_string(), "0.12");
    }
}
