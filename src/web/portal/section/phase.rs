//! What a merchant is to see of an account's offers: decided here, from what is known, without a word of any language.

use chrono::{DateTime, Utc};

use super::progress::{FiguresFrom, Progress, Terms, progress, terms};
use crate::financing::ledger::Totals;
use crate::financing::summary::SummaryComparison;
use crate::offers::store::OfAccount;
use crate::stripe::OfferStatus;

/// Where an offer is in its life, as far as the merchant is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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
    /// The merchant took it back, or Stripe took the money back.
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
    /// Of what runs: whose turn it is.
    pub(super) turn: Turn,
}

/// Which of several financings that run at once gets the share of sales. Where refills stack, the newest one's rate holds, and what is
/// withheld by it goes to the oldest first (<https://docs.stripe.com/capital/refills>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    /// It runs by itself.
    Alone,
    /// It is the oldest, and gets the share that the newest one agreed on: a fraction, where that is known.
    First(Option<f64>),
    /// It waits for an older one.
    Waits,
}

/// What is known of an account.
pub(super) struct Figures<'a> {
    pub(super) offers: Vec<OfAccount>,
    pub(super) standing: Option<&'a SummaryComparison>,
    pub(super) totals: &'a [Totals],
    pub(super) now: DateTime<Utc>,
}

impl Card {
    /// One that Stripe wrote off gets no share of sales any more.
    fn takes_turns(&self) -> bool {
        self.phase == Phase::InProgress && self.offer.charged_off_at.is_none()
    }

    pub(super) fn has_stripes_figures(&self) -> bool {
        self.phase == Phase::InProgress
            && self
                .progress
                .as_ref()
                .is_some_and(|progress| !matches!(progress.by, FiguresFrom::Ledger(_)))
    }
}

/// The cards in the order in which they are shown: what runs, what is decided on, what is open. Then how the newest offer ended, where
/// nothing is open or decided on since. And, apart, the financings that are paid in full.
pub(super) fn cards(known: &Figures<'_>) -> (Vec<Card>, Vec<Card>) {
    let all: Vec<Card> = known.offers.iter().map(|offer| card(offer, known)).collect();
    let end = newest_end(&all).cloned();
    let (past, others): (Vec<Card>, Vec<Card>) =
        all.into_iter().partition(|card| card.phase == Phase::PaidInFull);
    let mut current: Vec<Card> =
        others.into_iter().filter(|card| rank(card.phase).is_some()).collect();
    current.sort_by_key(|card| rank(card.phase));
    take_turns(&mut current);
    if current.iter().all(|card| card.phase == Phase::InProgress) {
        current.extend(end);
    }
    (current, past)
}

/// How the newest offer of which there is anything to say ended; none where it did not. That nobody took an offer up is no news to who
/// has a financing.
fn newest_end(all: &[Card]) -> Option<&Card> {
    let has_financing = all.iter().any(|card| card.phase == Phase::InProgress);
    let is_told = |card: &&Card| {
        card.phase != Phase::Gone && !(has_financing && card.phase == Phase::Expired)
    };
    let newest = all.iter().find(is_told)?;
    matches!(newest.phase, Phase::Rejected | Phase::Canceled | Phase::Expired).then_some(newest)
}

/// The cards come with the newest first.
fn take_turns(cards: &mut [Card]) {
    let mut running: Vec<&mut Card> = cards.iter_mut().filter(|card| card.takes_turns()).collect();
    if running.len() < 2 {
        return;
    }
    let rate =
        running.first().and_then(|newest| newest.terms.as_ref()).map(|terms| terms.withhold_rate);
    if let Some((oldest, younger)) = running.split_last_mut() {
        oldest.turn = Turn::First(rate);
        for card in younger {
            card.turn = Turn::Waits;
        }
    }
}

fn rank(phase: Phase) -> Option<u8> {
    match phase {
        Phase::InProgress => Some(0),
        Phase::UnderReview => Some(1),
        Phase::Open => Some(2),
        Phase::PaidInFull | Phase::Rejected | Phase::Canceled | Phase::Expired | Phase::Gone => {
            None
        }
    }
}

fn card(offer: &OfAccount, known: &Figures<'_>) -> Card {
    let phase = phase(offer, known);
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
    Card { phase, offer: offer.clone(), terms, progress, is_replacement, turn: Turn::Alone }
}

fn phase(offer: &OfAccount, known: &Figures<'_>) -> Phase {
    let has_successor = || {
        let id = Some(offer.offer_id.as_str());
        known.offers.iter().any(|other| other.replacement_for_offer_id.as_deref() == id)
    };
    match OfferStatus::from(offer.status.clone()) {
        // Stripe's event about the end may be on its way.
        OfferStatus::Undelivered | OfferStatus::Delivered if has_successor() => Phase::Gone,
        OfferStatus::Undelivered | OfferStatus::Delivered => {
            if offer.expires_at.is_some_and(|end| end <= known.now) {
                Phase::Expired
            } else {
                Phase::Open
            }
        }
        OfferStatus::Accepted => Phase::UnderReview,
        OfferStatus::PaidOut if known.is_taken_back(&offer.offer_id) => Phase::Canceled,
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::financing::summary::Difference;
    use crate::format::money::Money;
    use serde_json::json;

    pub(in crate::web::portal::section) fn now() -> DateTime<Utc> {
        "2026-11-25T12:00:00Z".parse().unwrap()
    }

    pub(in crate::web::portal::section) fn offer(id: &str, status: &str) -> OfAccount {
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
            charged_off_at: None,
            created_at: now(),
            expires_at: Some("2026-12-20T12:00:00Z".parse().unwrap()),
            accepted_terms: None,
        }
    }

    pub(in crate::web::portal::section) fn standing(offer: &str) -> SummaryComparison {
        let summary = json!({
            "status": "accepted", "financing_offer": offer,
            "details": {"advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": 33_000, "remaining_amount": 77_000,
                        "currency": "gbp", "withhold_rate": 0.1, "advance_paid_out_at": 1_790_000_000_000_i64},
        });
        SummaryComparison {
            summary: serde_json::from_value(summary).unwrap(),
            as_of: now(),
            is_current: true,
            totals: Vec::new(),
            difference: None,
        }
    }

    fn phases(offers: Vec<OfAccount>) -> (Vec<Phase>, usize) {
        let (current, past) = cards(&Figures { offers, standing: None, totals: &[], now: now() });
        (current.iter().map(|card| card.phase).collect(), past.len())
    }

    #[test]
    fn what_runs_comes_first_and_an_end_is_told_only_where_nothing_else_is() {
        use Phase::{Canceled, Expired, InProgress, Open, Rejected, UnderReview};
        let all = ["delivered", "accepted", "paid_out", "fully_repaid", "rejected"];
        let all = all.iter().map(|status| offer(status, status)).collect();
        assert_eq!(phases(all), (vec![InProgress, UnderReview, Open], 1));
        for (status, phase) in
            [("rejected", Rejected), ("canceled", Canceled), ("expired", Expired)]
        {
            let offers = vec![offer("new", status), offer("old", "fully_repaid")];
            assert_eq!(phases(offers), (vec![phase], 1), "{status}");
            // An end before a financing that was paid in full is old news.
            let offers = vec![offer("new", "fully_repaid"), offer("old", status)];
            assert_eq!(phases(offers), (vec![], 1), "{status}");
            // So is one before what runs, or is open.
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
        // One that gave way to another says nothing: what became of that other one does.
        let offers = vec![offer("other", "accepted_other_offer"), offer("taken", "rejected")];
        assert_eq!(phases(offers), (vec![Rejected], 0));
    }

    #[test]
    fn what_became_of_an_application_is_told_beside_a_financing_that_runs() {
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
    fn of_financings_that_run_at_once_the_oldest_gets_the_share_by_the_newest_ones_rate() {
        let mut newest = offer("newest", "paid_out");
        newest.withhold_rate = Some(0.2);
        let offers = vec![newest, offer("middle", "paid_out"), offer("oldest", "paid_out")];
        let (current, _) = cards(&Figures { offers, standing: None, totals: &[], now: now() });
        let turns: Vec<Turn> = current.iter().map(|card| card.turn).collect();
        assert_eq!(turns, [Turn::Waits, Turn::Waits, Turn::First(Some(0.2))]);
        let mut over = offer("over", "paid_out");
        over.charged_off_at = Some(now());
        let offers = vec![offer("running", "paid_out"), over];
        let (current, _) = cards(&Figures { offers, standing: None, totals: &[], now: now() });
        assert!(current.iter().all(|card| card.turn == Turn::Alone));
    }

    #[test]
    fn an_offer_whose_place_was_taken_is_not_open_whatever_its_status() {
        let mut new = offer("new", "delivered");
        new.replacement_for_offer_id = Some("old".to_owned());
        assert_eq!(phases(vec![new, offer("old", "delivered")]), (vec![Phase::Open], 0));
    }

    #[test]
    fn a_summary_that_names_no_offer_is_about_the_one_that_runs_if_there_is_one_alone() {
        let mut nameless = standing("financingoffer_1");
        nameless.summary.financing_offer = None;
        let by = |statuses: [(&str, &str); 2]| {
            let offers = statuses.map(|(id, status)| offer(id, status)).to_vec();
            let (current, past) =
                cards(&Figures { offers, standing: Some(&nameless), totals: &[], now: now() });
            let all = current.into_iter().chain(past);
            all.map(|card| card.progress.map(|progress| progress.by)).collect::<Vec<_>>()
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
    fn where_our_sums_are_others_it_is_said_in_what() {
        let paid = |advanced_minor, paid_minor| {
            let remaining_minor = advanced_minor - paid_minor;
            let difference = Difference { advanced_minor, paid_minor, remaining_minor };
            let standing =
                SummaryComparison { difference: Some(difference), ..standing("financingoffer_1") };
            let offers = vec![offer("financingoffer_1", "paid_out")];
            let known = Figures { offers, standing: Some(&standing), totals: &[], now: now() };
            cards(&known).0[0].progress.clone().unwrap().by
        };
        let usd = |minor| Money { minor, currency: "gbp".to_owned() };
        assert_eq!(paid(0, -3_000), FiguresFrom::StripeDiffers(Some(usd(30_000))));
        // The payout's event never came: all that was paid is known.
        assert_eq!(paid(-110_000, 0), FiguresFrom::StripeDiffers(None));
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
        let (current, _) = cards(&Figures {
            offers: vec![better, refused.clone()],
            standing: None,
            totals: &[],
            now: now(),
        });
        assert_eq!(current.len(), 1);
        assert!(current[0].is_replacement);
        assert_eq!(phases(vec![refused]), (vec![], 0));
    }

    #[test]
    fn two_financings_at_once_have_a_progress_each_by_whoever_knows_it() {
        let standing = standing("financingoffer_new");
        let totals = [Totals {
            offer_id: Some("financingoffer_old".to_owned()),
            currency: "gbp".to_owned(),
            advanced_minor: 50_000,
            paid_minor: 49_999,
            withheld_minor: 49_999,
            remaining_minor: 1,
            unclear: 2,
            is_taken_back: false,
            first_at: now(),
            last_at: now(),
        }];
        let offers =
            vec![offer("financingoffer_new", "paid_out"), offer("financingoffer_old", "paid_out")];
        let known = Figures { offers, standing: Some(&standing), totals: &totals, now: now() };
        let progress: Vec<(i64, i64, i64, FiguresFrom)> = cards(&known)
            .0
            .into_iter()
            .map(|card| card.progress.unwrap())
            .map(|its| (its.total.minor, its.remaining.minor, its.per_mille(), its.by))
            .collect();
        assert_eq!(
            progress,
            [(110_000, 77_000, 300, FiguresFrom::Stripe), (50_000, 1, 999, FiguresFrom::Ledger(2))]
        );
    }

    #[test]
    fn what_was_agreed_counts_more_than_what_was_offered() {
        let mut agreed = offer("financingoffer_1", "paid_out");
        agreed.accepted_terms = Some(json!({
            "advance_amount": 80_000, "fee_amount": 8_000, "currency": "usd", "withhold_rate": 0.12,
            "previous_financing_fee_discount_amount": null,
        }));
        let (current, _) =
            cards(&Figures { offers: vec![agreed], standing: None, totals: &[], now: now() });
        let progress = current[0].progress.as_ref().unwrap();
        assert_eq!(
            (progress.total.minor, progress.paid.minor, progress.per_mille()),
            (88_000, 0, 0)
        );
        assert_eq!(current[0].terms.as_ref().unwrap().withhold_rate.to_string(), "0.12");
    }
}
