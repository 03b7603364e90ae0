//! Stripe's summary of an account's financing, stored for a short time and compared with our
//! totals.
//!
//! A summary describes one financing, even if two run side by side; it is compared with the totals
//! of that financing. Differences are shown and counted. A difference is normal while an event is
//! on its way.
//!
//! The comparison runs on each query that fetches a summary and after each backfill pass.

pub mod store;

use chrono::{DateTime, TimeDelta, Utc};

use super::ledger::{self, Totals};
use super::{BackfillRequests, Financings, LookupError, backfill_progress};
use crate::database::with_timeout;
use crate::offers::timeline;
use crate::stripe::{AccountId, FinancingSummary, OfferId, SummaryDetails};
use store::{DifferenceSince, FetchedSummary, StoredSummary};

/// How long an event may take to arrive: a younger difference is not counted.
pub const MAY_DIFFER_FOR: TimeDelta = TimeDelta::hours(1);

/// A difference older than this requests no further full pass: it needs an operator.
const MAX_AGE_FOR_FULL_PASS: TimeDelta = TimeDelta::days(1);

/// Stripe's summary next to our totals.
#[derive(Clone, Debug)]
pub struct SummaryComparison {
    pub summary: FinancingSummary,
    /// When Stripe was asked.
    pub as_of: DateTime<Utc>,
    /// False if the summary is outdated and Stripe did not answer.
    pub is_current: bool,
    /// Computed now, for all financings of the account.
    pub totals: Vec<Totals>,
    /// None if the amounts agree or there is nothing to compare, and until the account's
    /// transactions were read once.
    pub difference: Option<Difference>,
}

/// Our totals minus Stripe's, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Advance plus fee.
    pub advanced_minor: i64,
    pub paid_minor: i64,
    pub remaining_minor: i64,
}

impl Difference {
    /// Compares the totals of the financing that the summary describes. Missing totals count as
    /// zero. None without a difference, and if the financing is ambiguous or not paid out.
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
        let (their_advanced, their_paid, their_remaining) = stripe_amounts(details)?;
        let difference = Self {
            advanced_minor: advanced.saturating_sub(their_advanced),
            paid_minor: paid.saturating_sub(their_paid),
            remaining_minor: remaining.saturating_sub(their_remaining),
        };
        (difference != Self { advanced_minor: 0, paid_minor: 0, remaining_minor: 0 })
            .then_some(difference)
    }
}

/// The only item, none if there are several. A summary without an offer, as in Stripe's example,
/// means the only financing that is not settled.
pub fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

/// Stripe's advanced, paid and remaining amounts; none before the payout.
fn stripe_amounts(details: &SummaryDetails) -> Option<(i64, i64, i64)> {
    details.advance_paid_out_at?;
    let advanced = details.advance_amount.checked_add(details.fee_amount)?;
    Some((advanced, details.paid_amount, details.remaining_amount))
}

/// Whether an unchanged difference is likely to stay. A difference that changes with each event is
/// still catching up; a stable one is confirmed by a full pass, or by an hour.
fn has_settled(next: FollowUp, unchanged_for: TimeDelta) -> bool {
    match next {
        // The pass that this comparison queues has not run yet.
        FollowUp::Newest => false,
        FollowUp::Full => unchanged_for >= MAY_DIFFER_FOR,
        FollowUp::None => unchanged_for > TimeDelta::zero(),
    }
}

/// What to read from Stripe if the totals differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// The entries since the last pass.
    Newest,
    /// The whole list.
    Full,
    /// Nothing: the whole list has just been read.
    None,
}

impl Financings {
    /// Compares an account's totals with Stripe's summary: the stored one while it is current, else
    /// a fresh one. If Stripe does not answer, the stored one is used, however old.
    pub async fn compare_summary(
        &self,
        account: &AccountId,
    ) -> Result<SummaryComparison, LookupError> {
        let now = self.clock.now();
        let stored = with_timeout(store::find(&self.db, account.as_str(), self.livemode())).await?;
        if let Some(stored) = &stored
            && self.is_current(account, stored, now).await?
            && let Ok(comparison) = self.compare_stored(account, stored, true).await?
        {
            return Ok(comparison);
        }
        match (self.stripe.summary(account).await, stored) {
            (Ok(answer), _) => {
                let fetched =
                    FetchedSummary { summary: answer.object, object: &answer.body, as_of: now };
                Ok(self.store_summary(account, fetched, FollowUp::Newest).await?)
            }
            (Err(error), Some(stored)) => {
                tracing::warn!(
                    account.id = %account, %error,
                    "cannot fetch a financing summary: using the stored one"
                );
                self.compare_stored(account, &stored, false)
                    .await?
                    .map_err(|_| LookupError::Stripe(error))
            }
            (Err(error), None) => Err(LookupError::Stripe(error)),
        }
    }

    /// Whether a stored summary is young enough and nothing was recorded about the account since.
    async fn is_current(
        &self,
        account: &AccountId,
        stored: &StoredSummary,
        now: DateTime<Utc>,
    ) -> sqlx::Result<bool> {
        // A summary from the future was dated by a wrong clock.
        if stored.as_of <= now - self.summary_for || stored.as_of > now {
            return Ok(false);
        }
        let last = with_timeout(timeline::last_recorded_at(&self.db, account.as_str())).await?;
        Ok(last.is_none_or(|recorded_at| recorded_at < stored.as_of))
    }

    /// Compares an account's totals with a fresh summary, if a financing is under way or the last
    /// comparison found a difference. Changes nothing if Stripe does not answer.
    pub(super) async fn check_summary(
        &self,
        account: &AccountId,
        next: FollowUp,
    ) -> sqlx::Result<()> {
        let is_under_way = async { self.is_under_way(&mut *self.db.begin().await?, account).await };
        if !with_timeout(is_under_way).await? {
            return Ok(());
        }
        let now = self.clock.now();
        match self.stripe.summary(account).await {
            Ok(answer) => {
                let fetched =
                    FetchedSummary { summary: answer.object, object: &answer.body, as_of: now };
                self.store_summary(account, fetched, next).await.map(drop)
            }
            // Disconnected from the platform: there is nothing left to compare.
            Err(error) if error.is_gone() => {
                with_timeout(store::clear_difference(&self.db, account.as_str())).await
            }
            Err(error) => {
                tracing::warn!(
                    account.id = %account, %error,
                    "cannot fetch a financing summary to compare with"
                );
                Ok(())
            }
        }
    }

    /// Stores a summary with the difference and the times since when it has existed.
    async fn store_summary(
        &self,
        account: &AccountId,
        fetched: FetchedSummary<'_>,
        next: FollowUp,
    ) -> sqlx::Result<SummaryComparison> {
        let (livemode, as_of) = (self.livemode(), fetched.as_of);
        let storing = async {
            let mut tx = self.db.begin().await?;
            let totals = ledger::store::totals(&mut tx, account.as_str(), livemode).await?;
            let difference = Difference::between(&totals, &fetched.summary);
            let DifferenceSince { any: since, same } =
                store::upsert(&mut *tx, account.as_str(), livemode, &fetched, difference.as_ref())
                    .await?;
            match next {
                // A new difference: read the newest entries, in case an event was lost.
                FollowUp::Newest if since == Some(as_of) => {
                    BackfillRequests::now(account).queue(&mut tx, as_of).await?;
                }
                // The newest entries did not explain it: an older one is missing. The running job
                // sees the request when its pass ends.
                FollowUp::Full
                    if since.is_some_and(|since| as_of - since < MAX_AGE_FOR_FULL_PASS) =>
                {
                    backfill_progress::request_full_pass(&mut *tx, account.as_str(), as_of).await?;
                }
                FollowUp::Newest | FollowUp::Full | FollowUp::None => {}
            }
            tx.commit().await?;
            Ok((totals, difference, same))
        };
        let (totals, difference, same) = with_timeout(storing).await?;
        let difference = self.unless_unread(account, difference).await?;
        if let (Some(difference), Some(since)) = (difference, same) {
            if has_settled(next, as_of - since) {
                tracing::warn!(
                    account.id = %account, ?difference,
                    "our totals differ from Stripe's summary"
                );
            } else {
                tracing::debug!(
                    account.id = %account, ?difference,
                    "our totals differ from Stripe's summary for now"
                );
            }
        }
        let summary = fetched.summary;
        Ok(SummaryComparison { summary, as_of, is_current: true, totals, difference })
    }

    /// The difference, unless the account's transactions were never read: then it means nothing.
    async fn unless_unread(
        &self,
        account: &AccountId,
        difference: Option<Difference>,
    ) -> sqlx::Result<Option<Difference>> {
        if difference.is_none() {
            return Ok(None);
        }
        let was_read = backfill_progress::was_read(&self.db, account.as_str(), self.livemode());
        let was_read = with_timeout(was_read).await?;
        Ok(difference.filter(|_| was_read))
    }

    /// Compares a stored summary with the totals as they are now. The inner error is a stored
    /// summary that this version cannot parse.
    async fn compare_stored(
        &self,
        account: &AccountId,
        stored: &StoredSummary,
        is_current: bool,
    ) -> sqlx::Result<serde_json::Result<SummaryComparison>> {
        let summary: FinancingSummary = match serde_json::from_value(stored.object.clone()) {
            Ok(summary) => summary,
            Err(error) => return Ok(Err(error)),
        };
        let totals = self.totals(account).await?;
        let difference = Difference::between(&totals, &summary);
        let difference = self.unless_unread(account, difference).await?;
        Ok(Ok(SummaryComparison { summary, as_of: stored.as_of, is_current, totals, difference }))
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
                "advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": 1_500,
                "remaining_amount": 108_500, "currency": "usd", "withhold_rate": 0.15,
                "advance_paid_out_at": paid_out_at,
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
            discounted_minor: 0,
            remaining_minor: 110_000 - paid_minor,
            unclear: 0,
            is_taken_back: false,
            first_at: at,
            last_at: at,
        }
    }

    #[test]
    fn totals_are_compared_with_the_same_financing_in_the_same_currency() {
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
    fn a_summary_without_an_offer_is_compared_with_the_only_open_financing() {
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
        for ambiguous in [vec![behind, beside], vec![settled], Vec::new()] {
            assert_eq!(Difference::between(&ambiguous, &nameless), None);
        }
    }

    #[test]
    fn absurd_amounts_saturate_the_difference() {
        let absurd = totals("financingoffer_1", "usd", i64::MIN / 2);
        let absurd = Totals { paid_minor: i64::MIN, ..absurd };
        let difference = Difference::between(&[absurd], &summary(Some(1_700_000_000))).unwrap();
        assert_eq!(difference.paid_minor, i64::MIN);
    }

    #[test]
    fn a_difference_is_settled_once_it_outlasts_a_full_pass() {
        let (moment, hour) = (TimeDelta::seconds(1), TimeDelta::hours(1));
        for (next, unchanged_for, expected) in [
            (FollowUp::Newest, hour, false),
            (FollowUp::Full, moment, false),
            (FollowUp::Full, hour, true),
            (FollowUp::None, TimeDelta::zero(), false),
            (FollowUp::None, moment, true),
        ] {
            assert_eq!(
                has_settled(next, unchanged_for),
                expected,
                "{next:?} after {unchanged_for}"
            );
        }
    }

    #[test]
    fn a_financing_that_is_not_paid_out_has_no_difference() {
        assert_eq!(Difference::between(&[], &summary(None)), None);
        assert_eq!(Difference::between(&[], &FinancingSummary::default()), None);
    }
}
