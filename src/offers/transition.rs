//! What a status that we hear of does to the one that we know: one table with a cell for each pair.
//!
//! An event is a snapshot that can come late, twice and out of order. It moves an offer only along
//! the ways that Stripe documents (<https://docs.stripe.com/capital/api-integration>); where it
//! contradicts what is known, Stripe is asked. What Stripe answers stands, whatever it says
//! ([`by_answer`]): also a step back, and an end that opens again.

use std::cmp::Ordering;

use crate::stripe::OfferStatus;

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: this is known.
    Same,
    /// Nothing: the offer has been there. Stripe is asked only where the event is younger than all
    /// that is known.
    Late,
    /// The offer moves. An event that is older than what is known moves nothing: Stripe is asked
    /// then.
    Advance,
    /// The same, and Stripe is asked in any case.
    AdvanceAndAsk,
    /// Nothing moves until Stripe has answered.
    Ask,
}

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What follows.
    pub decision: Decision,
    /// Why.
    pub reason: &'static str,
}

/// What is to be done with a status that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The status that we heard of replaces it.
    pub moves: bool,
    /// Stripe is to be asked.
    pub asks: bool,
    /// Why.
    pub reason: &'static str,
}

const fn cell(decision: Decision, reason: &'static str) -> Cell {
    Cell { decision, reason }
}

/// The same.
const SAME: Cell = cell(Decision::Same, "this is known");
/// `completed` and `fully_repaid`.
const WORD: Cell = cell(Decision::Same, "Stripe's former and its present word for one end");
/// Forward.
const NEXT: Cell =
    cell(Decision::Advance, "documented to follow, perhaps over states whose events are late");
/// Back.
const PAST: Cell = cell(Decision::Late, "documented to come before: a late event");
/// Canceled, out of a state that is still open.
const UNDO: Cell = cell(
    Decision::AdvanceAndAsk,
    "a cancellation ends what is owed, so it is shown at once and confirmed",
);
/// A later state of an offer that was canceled.
const DONE: Cell =
    cell(Decision::Ask, "a cancellation is known: only Stripe can say that the financing goes on");
/// Open, or paid, after an end that excludes it.
const OVER: Cell =
    cell(Decision::Ask, "an end is known that cannot lead there: no event revives an offer");
/// Two ends.
const ENDS: Cell = cell(Decision::Ask, "two ends that exclude each other");
/// An end that no documented way leads to.
const JUMP: Cell =
    cell(Decision::Ask, "no documented way leads from the one to the other, or back");
/// A word that came after this was written.
const NEWS: Cell =
    cell(Decision::Ask, "a status that this version does not know has no place in the order");

/// Of a rendering that is younger than all that is known.
const STEP_BACK: &str = "documented to come before, and yet younger than all that is known";
/// Of a rendering that is older.
const OUTDATED: &str = "documented to follow, and yet older than what is known";

/// How many statuses there are: all that we know, and all others as one.
const COUNT: usize = 13;

/// What is known, a row each; what an event says, a column each. Both in the order of [`place`].
#[rustfmt::skip]
const TABLE: [[Cell; COUNT]; COUNT] = [
    //                 undeli delive accept paid_o fully_ comple cancel reject expire replac revoke other  new
    /* undelivered */ [SAME,  NEXT,  NEXT,  NEXT,  NEXT,  NEXT,  UNDO,  NEXT,  NEXT,  NEXT,  NEXT,  NEXT,  NEWS],
    /* delivered */   [PAST,  SAME,  NEXT,  NEXT,  NEXT,  NEXT,  UNDO,  NEXT,  NEXT,  NEXT,  NEXT,  NEXT,  NEWS],
    /* accepted */    [PAST,  PAST,  SAME,  NEXT,  NEXT,  NEXT,  UNDO,  NEXT,  JUMP,  JUMP,  JUMP,  JUMP,  NEWS],
    /* paid_out */    [PAST,  PAST,  PAST,  SAME,  NEXT,  NEXT,  UNDO,  JUMP,  JUMP,  JUMP,  JUMP,  JUMP,  NEWS],
    /* fully_repaid */[PAST,  PAST,  PAST,  PAST,  SAME,  WORD,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  NEWS],
    /* completed */   [PAST,  PAST,  PAST,  PAST,  WORD,  SAME,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  NEWS],
    /* canceled */    [PAST,  PAST,  DONE,  DONE,  ENDS,  ENDS,  SAME,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  NEWS],
    /* rejected */    [PAST,  PAST,  PAST,  OVER,  ENDS,  ENDS,  ENDS,  SAME,  ENDS,  ENDS,  ENDS,  ENDS,  NEWS],
    /* expired */     [PAST,  PAST,  OVER,  OVER,  ENDS,  ENDS,  ENDS,  ENDS,  SAME,  ENDS,  ENDS,  ENDS,  NEWS],
    /* replaced */    [PAST,  PAST,  OVER,  OVER,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  SAME,  ENDS,  ENDS,  NEWS],
    /* revoked */     [PAST,  PAST,  OVER,  OVER,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  SAME,  ENDS,  NEWS],
    /* other taken */ [PAST,  PAST,  OVER,  OVER,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  ENDS,  SAME,  NEWS],
    /* new word */    [NEWS,  NEWS,  NEWS,  NEWS,  NEWS,  NEWS,  NEWS,  NEWS,  NEWS,  NEWS,  NEWS,  NEWS,  NEWS],
];

const fn place(status: &OfferStatus) -> usize {
    match status {
        OfferStatus::Undelivered => 0,
        OfferStatus::Delivered => 1,
        OfferStatus::Accepted => 2,
        OfferStatus::PaidOut => 3,
        OfferStatus::FullyRepaid => 4,
        OfferStatus::Completed => 5,
        OfferStatus::Canceled => 6,
        OfferStatus::Rejected => 7,
        OfferStatus::Expired => 8,
        OfferStatus::Replaced => 9,
        OfferStatus::Revoked => 10,
        OfferStatus::AcceptedOtherOffer => 11,
        OfferStatus::Other(_) => 12,
    }
}

/// What an event that says `told` does to an offer that is `known` to be somewhere.
pub fn decide(known: &OfferStatus, told: &OfferStatus) -> Cell {
    // Two words that we do not know share a cell, and may be one.
    if known == told { SAME } else { TABLE[place(known)][place(told)] }
}

/// What an event, or an entry of a list, does: a rendering that may be late. `age` is its time
/// against that of the youngest rendering that is known, both by Stripe's clock and in whole
/// seconds.
pub fn by_event(known: &OfferStatus, told: &OfferStatus, age: Ordering) -> Effect {
    let Cell { decision, reason } = decide(known, told);
    let (moves, asks, reason) = match (decision, age) {
        (Decision::Same, Ordering::Less | Ordering::Equal | Ordering::Greater)
        | (Decision::Late, Ordering::Less | Ordering::Equal) => (false, false, reason),
        (Decision::Late, Ordering::Greater) => (false, true, STEP_BACK),
        (Decision::Advance, Ordering::Equal | Ordering::Greater) => (true, false, reason),
        (Decision::AdvanceAndAsk, Ordering::Equal | Ordering::Greater) => (true, true, reason),
        (Decision::Advance | Decision::AdvanceAndAsk, Ordering::Less) => (false, true, OUTDATED),
        (Decision::Ask, Ordering::Less | Ordering::Equal | Ordering::Greater) => {
            (false, true, reason)
        }
    };
    Effect { moves, asks, reason }
}

/// What Stripe's answer does, where nothing was written since it was asked: it stands.
pub fn by_answer(known: &OfferStatus, told: &OfferStatus) -> Effect {
    Effect { moves: known != told, asks: false, reason: decide(known, told).reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OfferStatus::{
        Accepted, AcceptedOtherOffer, Canceled, Completed, Delivered, Expired, FullyRepaid,
        PaidOut, Rejected, Replaced, Revoked, Undelivered,
    };
    use proptest::prelude::*;
    use std::fmt::Write;

    fn all() -> [OfferStatus; COUNT] {
        let new = OfferStatus::Other("new_word".to_owned());
        [
            Undelivered,
            Delivered,
            Accepted,
            PaidOut,
            FullyRepaid,
            Completed,
            Canceled,
            Rejected,
            Expired,
            Replaced,
            Revoked,
            AcceptedOtherOffer,
            new,
        ]
    }

    /// Ways that an offer can go, as Stripe documents them.
    fn lives() -> Vec<Vec<OfferStatus>> {
        let open = [vec![Undelivered], vec![Undelivered, Delivered], vec![Delivered]];
        let ways = [vec![], vec![Expired], vec![Replaced], vec![Revoked], vec![AcceptedOtherOffer]];
        let applied = [
            vec![Accepted],
            vec![Accepted, Rejected],
            vec![Accepted, Canceled],
            vec![Accepted, PaidOut],
            vec![Accepted, PaidOut, Canceled],
            vec![Accepted, PaidOut, FullyRepaid],
            vec![Accepted, PaidOut, Completed],
        ];
        let mut lives: Vec<Vec<OfferStatus>> = Vec::new();
        for begin in open {
            lives.extend(ways.iter().map(|way| [begin.clone(), way.clone()].concat()));
            if begin.contains(&Delivered) {
                lives.extend(applied.iter().map(|way| [begin.clone(), way.clone()].concat()));
            }
        }
        lives
    }

    #[test]
    fn every_pair_of_statuses_has_its_cell_and_its_reason() {
        let mut matrix = String::new();
        for (row, known) in all().iter().enumerate() {
            assert_eq!(place(known), row);
            for told in &all() {
                let Cell { decision, reason } = decide(known, told);
                writeln!(matrix, "{known:<20} {told:<20} {:<13} {reason}", format!("{decision:?}"))
                    .unwrap();
            }
        }
        insta::assert_snapshot!(matrix);
    }

    #[test]
    fn no_event_takes_an_offer_out_of_an_end() {
        for known in all().iter().filter(|status| status.is_end()) {
            for told in &all() {
                for age in [Ordering::Less, Ordering::Equal, Ordering::Greater] {
                    assert!(!by_event(known, told, age).moves, "{known}, then {told}");
                }
            }
        }
    }

    #[test]
    fn what_stripe_answers_stands_between_every_pair() {
        for known in &all() {
            for told in &all() {
                let effect = by_answer(known, told);
                assert_eq!(
                    (effect.moves, effect.asks),
                    (known != told, false),
                    "{known}, then {told}"
                );
            }
        }
    }

    #[test]
    fn a_cancellation_is_asked_about_in_whatever_order_it_comes() {
        for before in [Accepted, PaidOut] {
            for age in [Ordering::Less, Ordering::Equal, Ordering::Greater] {
                assert!(by_event(&before, &Canceled, age).asks, "{before}, then canceled");
                assert!(by_event(&Canceled, &before, age).asks, "canceled, then {before}");
            }
        }
    }

    /// An offer as the service knows it, without the service.
    #[derive(Default)]
    struct Mirror {
        known: Option<(OfferStatus, i64)>,
        looks: usize,
    }

    impl Mirror {
        fn event(&mut self, told: &OfferStatus, at: i64) {
            let Some((known, as_of)) = self.known.take() else {
                self.known = Some((told.clone(), at));
                return;
            };
            let effect = by_event(&known, told, at.cmp(&as_of));
            self.looks += usize::from(effect.asks);
            self.known = Some((if effect.moves { told.clone() } else { known }, as_of.max(at)));
        }

        /// Stripe answers one look.
        fn answer(&mut self, truth: &OfferStatus, at: i64) {
            self.looks = self.looks.saturating_sub(1);
            let Some((known, _)) = self.known.take() else { return };
            let moves = by_answer(&known, truth).moves;
            self.known = Some((if moves { truth.clone() } else { known }, at));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// All of an offer's events, some of them twice, in any order, some within one second;
        /// looks in between and at the end.
        #[test]
        fn in_whatever_order_a_life_is_told_its_end_is_what_stands(
            (life, told) in proptest::sample::select(lives()).prop_flat_map(|life| {
                let all: Vec<usize> = (0..life.len()).chain(0..life.len()).collect();
                let from = life.len();
                let told = proptest::sample::subsequence(all, from..=2 * from).prop_shuffle();
                (Just(life), told)
            }),
            steps in proptest::collection::vec(0_i64..3, 8),
            look_after in proptest::collection::vec(any::<bool>(), 16),
        ) {
            let end = life.last().unwrap();
            let times: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            // What no event tells cannot be known: the last state is told at least once.
            let told: Vec<usize> = told.into_iter().chain([life.len() - 1]).collect();
            let mut mirror = Mirror::default();
            let mut has_ended = false;
            for (number, index) in told.iter().enumerate() {
                let was = mirror.known.clone();
                mirror.event(&life[*index], times[*index]);
                if has_ended {
                    prop_assert_eq!(&mirror.known.as_ref().unwrap().0, &was.unwrap().0, "an event moved what had ended");
                }
                if mirror.looks > 0 && look_after[number % look_after.len()] {
                    mirror.answer(end, times[life.len() - 1]);
                }
                has_ended = mirror.known.as_ref().unwrap().0.is_end();
            }
            while mirror.looks > 0 {
                mirror.answer(end, times[life.len() - 1]);
            }
            let (known, _) = mirror.known.unwrap();
            let is_true = known == *end || matches!((&known, end), (Completed, FullyRepaid) | (FullyRepaid, Completed));
            prop_assert!(is_true, "{} after {:?}", known, told.iter().map(|index| &life[*index]).collect::<Vec<_>>());
        }

        /// Whatever is claimed of an offer, true or not: once Stripe was asked, its word is what is
        /// known.
        #[test]
        fn any_statuses_that_contradict_each_other_end_in_stripes_answer(
            told in proptest::collection::vec((0..COUNT, 0_i64..4), 2..12),
            truth in 0..COUNT,
        ) {
            let (all, mut mirror) = (all(), Mirror::default());
            let mut asked = false;
            for (status, at) in told {
                mirror.event(&all[status], at);
                asked |= mirror.looks > 0;
            }
            while mirror.looks > 0 {
                mirror.answer(&all[truth], 9);
            }
            if asked {
                prop_assert_eq!(&mirror.known.unwrap().0, &all[truth]);
            }
        }
    }
}
