//! The effect of a reported status on the stored one: a table with a cell for each pair.
//!
//! An event is a snapshot that can arrive late, twice and out of order. It changes the status only
//! along the transitions that Stripe documents
//! (<https://docs.stripe.com/capital/api-integration>); if it contradicts the stored status, the
//! offer is fetched from Stripe. The fetched status always replaces the stored one ([`by_answer`]),
//! even if that reopens an offer that had ended.

use std::cmp::Ordering;

use crate::stripe::OfferStatus;

/// The effect of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusChange {
    /// No change: the status is the same.
    Same,
    /// No change: the status precedes the stored one. If the event is newer than the stored
    /// snapshot, the offer is fetched.
    Late,
    /// The status changes, unless the event is older than the stored snapshot: then the offer is
    /// fetched.
    Advance,
    /// As `Advance`, and the offer is fetched in any case.
    AdvanceAndAsk,
    /// No change until the offer has been fetched.
    Ask,
}

/// A cell of the table: the effect of one reported status on one stored status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransitionRule {
    pub decision: StatusChange,
    pub reason: &'static str,
}

/// What to do with the stored offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The reported status replaces the stored one.
    pub moves: bool,
    /// The offer must be fetched from Stripe.
    pub asks: bool,
    pub reason: &'static str,
}

const fn rule(decision: StatusChange, reason: &'static str) -> TransitionRule {
    TransitionRule { decision, reason }
}

const SAME: TransitionRule = rule(StatusChange::Same, "the status is unchanged");
/// `completed` and `fully_repaid`.
const NAME: TransitionRule =
    rule(StatusChange::Same, "`completed` is the former name of `fully_repaid`");
const NEXT: TransitionRule =
    rule(StatusChange::Advance, "a documented next status; events in between may be late");
const PAST: TransitionRule =
    rule(StatusChange::Late, "a documented earlier status: the event is late");
/// Canceled, from a status that is not final.
const UNDO: TransitionRule = rule(
    StatusChange::AdvanceAndAsk,
    "a cancellation takes effect at once and is confirmed with Stripe",
);
/// From canceled to a later status.
const DONE: TransitionRule = rule(
    StatusChange::Ask,
    "the offer is canceled: only Stripe can confirm that the financing continues",
);
/// From a final status to accepted or paid out.
const OVER: TransitionRule =
    rule(StatusChange::Ask, "the stored status is final: no event reopens an offer");
/// Two final statuses.
const ENDS: TransitionRule =
    rule(StatusChange::Ask, "both statuses are final and exclude each other");
/// A final status without a documented transition.
const JUMP: TransitionRule =
    rule(StatusChange::Ask, "no transition between the two statuses is documented");
/// An unknown status.
const NEWS: TransitionRule =
    rule(StatusChange::Ask, "a status unknown to this version has no place in the order");

const STEP_BACK: &str = "a documented earlier status in a newer event";
const OUTDATED: &str = "a documented next status in an older event";

/// The number of known statuses, plus one for all others.
const COUNT: usize = 13;

/// Rows: the stored status. Columns: the reported status. Both in the order of [`index`].
#[rustfmt::skip]
const TABLE: [[TransitionRule; COUNT]; COUNT] = [
    //                 undel deliv accep paid  fully compl cancl rejct expir replc revok other new
    /* undelivered */ [SAME, NEXT, NEXT, NEXT, NEXT, NEXT, UNDO, NEXT, NEXT, NEXT, NEXT, NEXT, NEWS],
    /* delivered */   [PAST, SAME, NEXT, NEXT, NEXT, NEXT, UNDO, NEXT, NEXT, NEXT, NEXT, NEXT, NEWS],
    /* accepted */    [PAST, PAST, SAME, NEXT, NEXT, NEXT, UNDO, NEXT, JUMP, JUMP, JUMP, JUMP, NEWS],
    /* paid_out */    [PAST, PAST, PAST, SAME, NEXT, NEXT, UNDO, JUMP, JUMP, JUMP, JUMP, JUMP, NEWS],
    /* fully_repaid */[PAST, PAST, PAST, PAST, SAME, NAME, ENDS, ENDS, ENDS, ENDS, ENDS, ENDS, NEWS],
    /* completed */   [PAST, PAST, PAST, PAST, NAME, SAME, ENDS, ENDS, ENDS, ENDS, ENDS, ENDS, NEWS],
    /* canceled */    [PAST, PAST, DONE, DONE, ENDS, ENDS, SAME, ENDS, ENDS, ENDS, ENDS, ENDS, NEWS],
    /* rejected */    [PAST, PAST, PAST, OVER, ENDS, ENDS, ENDS, SAME, ENDS, ENDS, ENDS, ENDS, NEWS],
    /* expired */     [PAST, PAST, OVER, OVER, ENDS, ENDS, ENDS, ENDS, SAME, ENDS, ENDS, ENDS, NEWS],
    /* replaced */    [PAST, PAST, OVER, OVER, ENDS, ENDS, ENDS, ENDS, ENDS, SAME, ENDS, ENDS, NEWS],
    /* revoked */     [PAST, PAST, OVER, OVER, ENDS, ENDS, ENDS, ENDS, ENDS, ENDS, SAME, ENDS, NEWS],
    /* other taken */ [PAST, PAST, OVER, OVER, ENDS, ENDS, ENDS, ENDS, ENDS, ENDS, ENDS, SAME, NEWS],
    /* unknown */     [NEWS, NEWS, NEWS, NEWS, NEWS, NEWS, NEWS, NEWS, NEWS, NEWS, NEWS, NEWS, NEWS],
];

const fn index(status: &OfferStatus) -> usize {
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

pub fn decide(stored: &OfferStatus, reported: &OfferStatus) -> TransitionRule {
    // All unknown statuses share an index, so equality is checked first.
    if stored == reported { SAME } else { TABLE[index(stored)][index(reported)] }
}

/// The effect of an event or a list entry. `age` compares its time with that of the stored
/// snapshot, both by Stripe's clock in whole seconds.
pub fn by_event(stored: &OfferStatus, reported: &OfferStatus, age: Ordering) -> Effect {
    let TransitionRule { decision, reason } = decide(stored, reported);
    let (moves, asks, reason) = match (decision, age) {
        (StatusChange::Same, Ordering::Less | Ordering::Equal | Ordering::Greater)
        | (StatusChange::Late, Ordering::Less | Ordering::Equal) => (false, false, reason),
        (StatusChange::Late, Ordering::Greater) => (false, true, STEP_BACK),
        (StatusChange::Advance, Ordering::Equal | Ordering::Greater) => (true, false, reason),
        (StatusChange::AdvanceAndAsk, Ordering::Equal | Ordering::Greater) => (true, true, reason),
        (StatusChange::Advance | StatusChange::AdvanceAndAsk, Ordering::Less) => {
            (false, true, OUTDATED)
        }
        (StatusChange::Ask, Ordering::Less | Ordering::Equal | Ordering::Greater) => {
            (false, true, reason)
        }
    };
    Effect { moves, asks, reason }
}

/// The effect of a fetched offer, if nothing was stored since the request.
pub fn by_answer(stored: &OfferStatus, reported: &OfferStatus) -> Effect {
    Effect { moves: stored != reported, asks: false, reason: decide(stored, reported).reason }
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

    /// The documented sequences of statuses.
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
    fn every_pair_of_statuses_has_a_rule() {
        let mut matrix = String::new();
        for (row, known) in all().iter().enumerate() {
            assert_eq!(index(known), row);
            for reported in &all() {
                let TransitionRule { decision, reason } = decide(known, reported);
                writeln!(
                    matrix,
                    "{known:<20} {reported:<20} {:<13} {reason}",
                    format!("{decision:?}")
                )
                .unwrap();
            }
        }
        insta::assert_snapshot!(matrix);
    }

    #[test]
    fn no_event_changes_a_final_status() {
        for known in all().iter().filter(|status| status.is_end()) {
            for reported in &all() {
                for age in [Ordering::Less, Ordering::Equal, Ordering::Greater] {
                    assert!(!by_event(known, reported, age).moves, "{known}, then {reported}");
                }
            }
        }
    }

    #[test]
    fn a_fetched_status_always_replaces_the_stored_one() {
        for known in &all() {
            for reported in &all() {
                let effect = by_answer(known, reported);
                assert_eq!(
                    (effect.moves, effect.asks),
                    (known != reported, false),
                    "{known}, then {reported}"
                );
            }
        }
    }

    #[test]
    fn a_cancellation_is_confirmed_with_stripe_in_any_order() {
        for before in [Accepted, PaidOut] {
            for age in [Ordering::Less, Ordering::Equal, Ordering::Greater] {
                assert!(by_event(&before, &Canceled, age).asks, "{before}, then canceled");
                assert!(by_event(&Canceled, &before, age).asks, "canceled, then {before}");
            }
        }
    }

    /// A model of a stored offer.
    #[derive(Default)]
    struct Model {
        known: Option<(OfferStatus, i64)>,
        pending: usize,
    }

    impl Model {
        fn event(&mut self, reported: &OfferStatus, at: i64) {
            let Some((known, as_of)) = self.known.take() else {
                self.known = Some((reported.clone(), at));
                return;
            };
            let effect = by_event(&known, reported, at.cmp(&as_of));
            self.pending += usize::from(effect.asks);
            self.known = Some((if effect.moves { reported.clone() } else { known }, as_of.max(at)));
        }

        /// Stripe answers one pending request.
        fn answer(&mut self, truth: &OfferStatus, at: i64) {
            self.pending = self.pending.saturating_sub(1);
            let Some((known, _)) = self.known.take() else { return };
            let moves = by_answer(&known, truth).moves;
            self.known = Some((if moves { truth.clone() } else { known }, at));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// All events of an offer in any order, some twice, some within one second; requests are
        /// answered in between and at the end.
        #[test]
        fn events_in_any_order_end_in_the_last_status(
            (life, reported) in proptest::sample::select(lives()).prop_flat_map(|life| {
                let all: Vec<usize> = (0..life.len()).chain(0..life.len()).collect();
                let from = life.len();
                let reported = proptest::sample::subsequence(all, from..=2 * from).prop_shuffle();
                (Just(life), reported)
            }),
            steps in proptest::collection::vec(0_i64..3, 8),
            answer_after in proptest::collection::vec(any::<bool>(), 16),
        ) {
            let end = life.last().unwrap();
            let times: Vec<i64> =
                steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            // The last status is reported at least once; a lost event cannot be inferred.
            let reported: Vec<usize> = reported.into_iter().chain([life.len() - 1]).collect();
            let mut model = Model::default();
            let mut has_ended = false;
            for (number, index) in reported.iter().enumerate() {
                let was = model.known.clone();
                model.event(&life[*index], times[*index]);
                if has_ended {
                    let now = &model.known.as_ref().unwrap().0;
                    prop_assert_eq!(now, &was.unwrap().0, "an event changed a final status");
                }
                if model.pending > 0 && answer_after[number % answer_after.len()] {
                    model.answer(end, times[life.len() - 1]);
                }
                has_ended = model.known.as_ref().unwrap().0.is_end();
            }
            while model.pending > 0 {
                model.answer(end, times[life.len() - 1]);
            }
            let (known, _) = model.known.unwrap();
            let are_aliases = matches!(
                (&known, end),
                (Completed, FullyRepaid) | (FullyRepaid, Completed)
            );
            let events: Vec<_> = reported.iter().map(|index| &life[*index]).collect();
            prop_assert!(known == *end || are_aliases, "{} after {:?}", known, events);
        }

        /// After any reports, true or not, the fetched status is stored once Stripe was asked.
        #[test]
        fn contradicting_statuses_end_in_the_fetched_status(
            reported in proptest::collection::vec((0..COUNT, 0_i64..4), 2..12),
            truth in 0..COUNT,
        ) {
            let (all, mut model) = (all(), Model::default());
            let mut asked = false;
            for (status, at) in reported {
                model.event(&all[status], at);
                asked |= model.pending > 0;
            }
            while model.pending > 0 {
                model.answer(&all[truth], 9);
            }
            if asked {
                prop_assert_eq!(&model.known.unwrap().0, &all[truth]);
            }
        }
    }
}
