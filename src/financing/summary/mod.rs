//! Stripe's summary of an account's financing, with a short memory, and our own sums held against it.
//!
//! A summary shows one financing, also where two run side by side; what it shows is compared with what the transactions of that
//! financing add up to. A difference is shown and counted. It can be there for a moment, while an event is on its way.
//!
//! They are compared when somebody looks, and each time that the account's list has been read.

pub mod store;

use chrono::{DateTime, TimeDelta, Utc};

use super::ledger::{self, Totals};
use super::{Financings, Unanswered, backfill_requests};
use crate::database::with_timeout;
use crate::stripe::{AccountId, FinancingSummary, OfferId, SummaryDetails};
use store::Since;

/// An event may be on its way for so long: until then sums that differ say nothing.
pub const MAY_DIFFER_FOR: TimeDelta = TimeDelta::hours(1);

/// A list is read from end to end for a difference that is younger than this; one that stays is a person's to look into.
const WORTH_ANOTHER_LOOK: TimeDelta = TimeDelta::days(1);

/// Where an account's financing stands.
#[derive(Clone, Debug)]
pub struct SummaryComparison {
    /// As Stripe counts.
    pub summary: FinancingSummary,
    /// When Stripe was asked.
    pub as_of: DateTime<Utc>,
    /// False where Stripe should have been asked again, and did not answer.
    pub is_current: bool,
    /// What the account's transactions add up to now.
    pub totals: Vec<Totals>,
    /// How these sums are others than Stripe's; none where they agree or there is nothing to compare.
    pub difference: Option<Difference>,
}

/// How far our sums are from Stripe's: ours less Stripe's, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Of advance and fee.
    pub advanced_minor: i64,
    /// Of what came back.
    pub paid_minor: i64,
    /// Of what is still to come.
    pub remaining_minor: i64,
}

impl Difference {
    /// Holds the transactions of a financing against its summary.
    pub fn between(totals: &[Totals], summary: &FinancingSummary) -> Option<Self> {
        let details = summary.details.as_ref()?;
        let mut of_currency =
            totals.iter().filter(|totals| totals.currency.eq_ignore_ascii_case(&details.currency));
        let ours = match summary.financing_offer.as_ref().map(OfferId::as_str) {
            Some(offer) => of_currency.find(|totals| totals.offer_id.as_deref() == Some(offer)),
            None => Some(only(of_currency.filter(|totals| totals.remaining_minor != 0))?),
        };
        let sums = |of: &Totals| (of.advanced_minor, of.paid_minor, of.remaining_minor);
        let (advanced, paid, remaining) = ours.map_or((0, 0, 0), sums);
        let (their_advanced, their_paid, their_remaining) = theirs(details)?;
        let difference = Self {
            advanced_minor: advanced.saturating_sub(their_advanced),
            paid_minor: paid.saturating_sub(their_paid),
            remaining_minor: remaining.saturating_sub(their_remaining),
        };
        (difference != Self { advanced_minor: 0, paid_minor: 0, remaining_minor: 0 })
            .then_some(difference)
    }
}

/// Stripe's own example names no offer. Which financing is meant is plain where one alone is not settled; else nobody can tell.
pub fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

/// Nothing was paid out for an offer that is open or under review: there is nothing to compare then.
fn theirs(details: &SummaryDetails) -> Option<(i64, i64, i64)> {
    details.advance_paid_out_at?;
    let advanced = details.advance_amount.checked_add(details.fee_amount)?;
    Some((advanced, details.paid_amount, details.remaining_amount))
}

/// Whether a difference that has been the same for so long will stay: not one that changes with
/// each event on its way. It is seen again after the list was read from end to end, or after an
/// hour.
fn has_settled(next: FullPass, unchanged_for: TimeDelta) -> bool {
    match next {
        // Somebody looks: what is read because of it has not been compared yet.
        FullPass::Newest => false,
        FullPass::All => unchanged_for >= MAY_DIFFER_FOR,
        FullPass::Nothing => unchanged_for > TimeDelta::zero(),
    }
}

/// What Stripe said.
struct Said<'a> {
    summary: FinancingSummary,
    object: &'a serde_json::Value,
    as_of: DateTime<Utc>,
}

/// What of an account's list to read where our sums are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FullPass {
    /// What came since it was read last.
    Newest,
    /// All of it.
    All,
    /// Nothing: all of it was read.
    Nothing,
}

impl Financings {
    /// Where the financing of an account stands: as Stripe said within the last minute, if nothing happened since, else as it says
    /// now. Where it does not answer, what it said last, however long ago.
    pub async fn standing(&self, account: &AccountId) -> Result<SummaryComparison, Unanswered> {
        let now = self.clock.now();
        let kept = with_timeout(store::find(&self.db, account.as_str(), self.livemode())).await?;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh(now - self.summary_for, now))
            && let Ok(standing) = self.compared(account, kept, true).await?
        {
            return Ok(standing);
        }
        match (self.stripe.summary(account).await, kept) {
            (Ok(answered), _) => {
                let said = Said { summary: answered.object, object: &answered.body, as_of: now };
                Ok(self.keep(account, said, FullPass::Newest).await?)
            }
            (Err(error), Some(kept)) => {
                tracing::warn!(account.id = %account, %error, "no fresh summary: showing the one before");
                self.compared(account, &kept, false).await?.map_err(|_| Unanswered::Stripe(error))
            }
            (Err(error), None) => Err(Unanswered::Stripe(error)),
        }
    }

    /// Holds our sums against what Stripe says now, where a financing is under way or they were others before. Where it does not say,
    /// all stays as it was.
    pub(super) async fn check(&self, account: &AccountId, next: FullPass) -> sqlx::Result<()> {
        let is_under_way = async { self.is_under_way(&mut *self.db.begin().await?, account).await };
        if !with_timeout(is_under_way).await? {
            return Ok(());
        }
        let now = self.clock.now();
        match self.stripe.summary(account).await {
            Ok(answered) => {
                let said = Said { summary: answered.object, object: &answered.body, as_of: now };
                self.keep(account, said, next).await.map(drop)
            }
            // Gone from the platform: there is nothing left to compare.
            Err(error) if error.is_gone() => {
                with_timeout(store::stop_differing(&self.db, account.as_str())).await
            }
            Err(error) => {
                tracing::warn!(%error, "no summary to hold our sums against");
                Ok(())
            }
        }
    }

    /// Writes an answer down, with since when it has been another than our sums.
    async fn keep(
        &self,
        account: &AccountId,
        said: Said<'_>,
        next: FullPass,
    ) -> sqlx::Result<SummaryComparison> {
        let Said { summary, object, as_of } = said;
        let livemode = self.livemode();
        let answer = store::Answer { account_id: account.as_str(), livemode, object, as_of };
        let keeping = async {
            let mut tx = self.db.begin().await?;
            let totals = ledger::store::totals(&mut *tx, account.as_str(), livemode).await?;
            let difference = Difference::between(&totals, &summary);
            let Since { differs: since, by_this } =
                store::keep(&mut *tx, &answer, difference.as_ref()).await?;
            match next {
                // The event may be on its way; else the newest of the list tells.
                FullPass::Newest if since == Some(as_of) => {
                    backfill_requests::read_now(&mut tx, account.as_str(), as_of).await?;
                }
                // The newest did not tell: something older is missing. That is looked for once.
                FullPass::All if since.is_some_and(|since| as_of - since < WORTH_ANOTHER_LOOK) => {
                    super::store::ask_again(&mut *tx, account.as_str(), as_of).await?;
                }
                FullPass::Newest | FullPass::All | FullPass::Nothing => {}
            }
            tx.commit().await?;
            Ok((totals, difference, by_this))
        };
        let (totals, difference, by_this) = with_timeout(keeping).await?;
        if let (Some(difference), Some(since)) = (difference, by_this) {
            if has_settled(next, as_of - since) {
                tracing::warn!(account.id = %account, ?difference, "our totals differ from Stripe's summary");
            } else {
                tracing::debug!(account.id = %account, ?difference, "our totals differ from Stripe's summary for now");
            }
        }
        Ok(SummaryComparison { summary, as_of, is_current: true, totals, difference })
    }

    /// What was kept, held against our sums as they are now.
    async fn compared(
        &self,
        account: &AccountId,
        kept: &store::Kept,
        is_current: bool,
    ) -> sqlx::Result<serde_json::Result<SummaryComparison>> {
        let summary: FinancingSummary = match serde_json::from_value(kept.object.clone()) {
            Ok(summary) => summary,
            Err(error) => return Ok(Err(error)),
        };
        let totals = self.totals(account).await?;
        let difference = Difference::between(&totals, &summary);
        Ok(Ok(SummaryComparison { summary, as_of: kept.as_of, is_current, totals, difference }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn summary(paid_out_at: Option<i64>) -> FinancingSummary {
        serde_json::from_value(json!({
            "status": "accepted", "financing_offer": "financingoffer_1",
            "details": {
                "advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": 1_500, "remaining_amount": 108_500,
                "currency": "usd", "withhold_rate": 0.15, "advance_paid_out_at": paid_out_at,
            },
        }))
        .unwrap()
    }

    fn totals(offer: &str, currency: &str, paid_minor: i64) -> Totals {
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        Totals {
            offer_id: Some(offer.to_owned()),
            currency: currency.to_owned(),
            advanced_minor: 110_000,
            paid_minor,
            withheld_minor: paid_minor,
            remaining_minor: 110_000 - paid_minor,
            unclear: 0,
            is_taken_back: false,
            first_at: at,
            last_at: at,
        }
    }

    #[test]
    fn sums_are_held_against_those_of_the_same_financing_in_the_same_currency() {
        let agreeing = totals("financingoffer_1", "usd", 1_500);
        let beside = totals("financingoffer_2", "usd", 7);
        let seconds = Some(1_700_000_000);
        assert_eq!(Difference::between(&[beside.clone(), agreeing], &summary(seconds)), None);

        let behind = totals("financingoffer_1", "usd", 1_000);
        let difference = Difference::between(&[behind], &summary(seconds)).unwrap();
        assert_eq!((difference.paid_minor, difference.remaining_minor), (-500, 500));

        let other_currency = totals("financingoffer_1", "eur", 1_500);
        for nothing in [vec![beside], vec![other_currency], Vec::new()] {
            let difference = Difference::between(&nothing, &summary(seconds)).unwrap();
            assert_eq!(difference.advanced_minor, -110_000);
        }
    }

    #[test]
    fn a_summary_that_names_no_offer_is_held_against_the_only_financing_that_is_not_settled() {
        let nameless = FinancingSummary { financing_offer: None, ..summary(Some(1_700_000_000)) };
        let running = totals("financingoffer_1", "usd", 1_500);
        let settled = totals("financingoffer_2", "usd", 110_000);
        let foreign = totals("financingoffer_3", "eur", 7);
        assert_eq!(Difference::between(&[settled.clone(), running, foreign], &nameless), None);

        let behind = totals("financingoffer_1", "usd", 1_000);
        let difference =
            Difference::between(&[behind.clone(), settled.clone()], &nameless).unwrap();
        assert_eq!((difference.paid_minor, difference.remaining_minor), (-500, 500));

        let beside = totals("financingoffer_4", "usd", 7);
        for nobody_can_tell in [vec![behind, beside], vec![settled], Vec::new()] {
            assert_eq!(Difference::between(&nobody_can_tell, &nameless), None);
        }
    }

    #[test]
    fn sums_out_of_all_proportion_differ_by_as_much_as_a_number_can_say() {
        let absurd = totals("financingoffer_1", "usd", i64::MIN / 2);
        let absurd = Totals { paid_minor: i64::MIN, ..absurd };
        let difference = Difference::between(&[absurd], &summary(Some(1_700_000_000))).unwrap();
        assert_eq!(difference.paid_minor, i64::MIN);
    }

    #[test]
    fn a_difference_is_warned_of_where_it_stays_the_same_after_a_reading() {
        let (moment, hour) = (TimeDelta::seconds(1), TimeDelta::hours(1));
        for (next, unchanged_for, expected) in [
            (FullPass::Newest, hour, false),
            (FullPass::All, moment, false),
            (FullPass::All, hour, true),
            (FullPass::Nothing, TimeDelta::zero(), false),
            (FullPass::Nothing, moment, true),
        ] {
            assert_eq!(
                has_settled(next, unchanged_for),
                expected,
                "{next:?} after {unchanged_for}"
            );
        }
    }

    #[test]
    fn an_offer_that_nothing_was_paid_out_for_has_nothing_to_compare() {
        assert_eq!(Difference::between(&[], &summary(None)), None);
        assert_eq!(Difference::between(&[], &FinancingSummary::default()), None);
    }
}
