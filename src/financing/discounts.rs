//! The discounts that refills give on the fee of the financing before them. Without them that
//! financing, which Stripe calls paid in full, would keep a remainder in our totals.
//!
//! Stripe sends no transaction for a discount and no event when it is known: the accepted terms of
//! the refill have the amount once the earlier financing is over
//! (<https://docs.stripe.com/capital/refills>). So the backfill asks, while an earlier financing has
//! a remainder that a discount would explain. It records a discount once, after it has read the
//! whole list of transactions: which financing was discounted, and when it was over, does not
//! depend on the order in which events arrived.
//!
//! Stripe does not name the discounted financing. It is the newest one that was paid out before the
//! refill, in its currency, and has a remainder that covers the discount.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::ledger::{self, Totals};
use super::{Financings, LookupError};
use crate::database::with_timeout;
use crate::offers::store::{AccountOffer, given_fee_discount, refills_of_account};
use crate::stripe::{AccountId, OfferId};

/// A discount to record.
struct Discount<'a> {
    refill: &'a AccountOffer,
    account_id: &'a str,
    /// The financing whose fee it lowers.
    offer_id: &'a str,
    currency: &'a str,
    minor: i64,
    /// From when it counts.
    created_at: DateTime<Utc>,
}

impl Financings {
    /// Records the discounts of the account's refills that are known at Stripe and not yet here.
    /// The account's transactions must be known. Idempotent.
    pub(super) async fn record_discounts(&self, account: &AccountId) -> Result<(), LookupError> {
        let (refills, mut totals) = with_timeout(self.undiscounted(account)).await?;
        for refill in &refills {
            let Some(minor) = self.fee_discount(refill, &totals).await? else { continue };
            let Some((at, payout)) = discounted(refill, &totals, minor) else {
                tracing::warn!(
                    account.id = %account, offer.id = %refill.offer_id,
                    "cannot tell which financing a refill discounted"
                );
                continue;
            };
            let old = &mut totals[at];
            let discount = Discount {
                refill,
                account_id: account.as_str(),
                offer_id: old.offer_id.as_deref().unwrap_or_default(),
                currency: &old.currency,
                minor,
                created_at: old.last_at.max(payout),
            };
            with_timeout(insert(&self.db, &discount, self.clock.now())).await?;
            // It cannot be discounted twice by the same remainder.
            old.discounted_minor = old.discounted_minor.saturating_add(minor);
            old.remaining_minor = old.remaining_minor.saturating_sub(minor);
            tracing::info!(
                account.id = %account, offer.id = %refill.offer_id,
                "recorded the discount that a refill gave on the fee of an earlier financing"
            );
        }
        Ok(())
    }

    /// The refills without a recorded discount, and the totals, if there is such a refill.
    async fn undiscounted(
        &self,
        account: &AccountId,
    ) -> sqlx::Result<(Vec<AccountOffer>, Vec<Totals>)> {
        let (account_id, livemode) = (account.as_str(), self.livemode());
        let mut refills = refills_of_account(&self.db, account_id, livemode).await?;
        if refills.is_empty() {
            return Ok((refills, Vec::new()));
        }
        let recorded = recorded(&self.db, account_id).await?;
        refills.retain(|refill| !recorded.contains(&refill.offer_id));
        if refills.is_empty() {
            return Ok((refills, Vec::new()));
        }
        let mut tx = self.db.begin().await?;
        let totals = ledger::store::totals(&mut tx, account_id, livemode).await?;
        Ok((refills, totals))
    }

    /// The discount of a refill; none if there is none, it is not known yet, or nothing remains of
    /// an earlier financing.
    async fn fee_discount(
        &self,
        refill: &AccountOffer,
        totals: &[Totals],
    ) -> Result<Option<i64>, LookupError> {
        if !before(refill, totals).any(|(_, old, _)| old.remaining_minor > 0) {
            return Ok(None);
        }
        if let Some(known) = refill.given_fee_discount() {
            return Ok(Some(known));
        }
        let Ok(id) = refill.offer_id.parse::<OfferId>() else { return Ok(None) };
        match self.stripe.offer(&id).await {
            Ok(answer) => Ok(given_fee_discount(&answer.body)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The financings that were paid out before the refill, in its currency, by their place in
/// `totals`, and the time of the refill's payout. None before that is known.
fn before<'a>(
    refill: &'a AccountOffer,
    totals: &'a [Totals],
) -> impl Iterator<Item = (usize, &'a Totals, DateTime<Utc>)> {
    let payout = totals.iter().find(|of| of.offer_id.as_deref() == Some(&refill.offer_id));
    totals.iter().enumerate().filter_map(move |(at, old)| {
        let payout = payout?;
        let is_before = old.first_at <= payout.first_at && old.currency == payout.currency;
        let is_another = old.offer_id.is_some() && old.offer_id != payout.offer_id;
        (is_before && is_another).then_some((at, old, payout.first_at))
    })
}

/// The newest financing before the refill whose remainder covers the discount, and the time of the
/// refill's payout.
fn discounted(
    refill: &AccountOffer,
    totals: &[Totals],
    minor: i64,
) -> Option<(usize, DateTime<Utc>)> {
    before(refill, totals)
        .filter(|(_, old, _)| old.remaining_minor >= minor)
        .max_by_key(|(_, old, _)| old.first_at)
        .map(|(at, _, payout)| (at, payout))
}

/// The refills of an account whose discount is recorded.
async fn recorded(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<BTreeSet<String>> {
    let recorded = sqlx::query_scalar!(
        "select refill_offer_id from refill_discounts where account_id = $1",
        account_id,
    )
    .fetch_all(db)
    .await?;
    Ok(recorded.into_iter().collect())
}

/// A second call for the same refill changes nothing.
async fn insert(
    db: impl PgExecutor<'_>,
    discount: &Discount<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into refill_discounts (
            refill_offer_id, account_id, livemode, offer_id, currency, discount_minor, created_at,
            recorded_at
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (refill_offer_id) do nothing
        ",
        discount.refill.offer_id,
        discount.account_id,
        discount.refill.livemode,
        discount.offer_id,
        discount.currency,
        discount.minor,
        discount.created_at,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
