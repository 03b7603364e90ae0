//! The offers of an account, read from Stripe's list.

use std::time::Duration;

use moka::future::Cache;

use super::{Applied, apply};
use crate::clock::Clock;
use crate::database::{Pool, is_about_the_data};
use crate::financing::LookupError;
use crate::letters;
use crate::offers::{ObservedOffer, Source};
use crate::queue::Notifier;
use crate::stripe::{AccountId, Client, FinancingOffer, OfferList, Received};
use crate::telemetry::chain;

/// Lists an account's offers and applies them: for accounts whose offers were made before this
/// service was installed.
#[derive(Clone, Debug)]
pub struct OfferFinder {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Client,
    /// Opens the letters about offers that are undelivered.
    pub letters: letters::Opener,
    /// Notified when letters may have been opened.
    pub jobs: Notifier,
    pub recently_found: RecentlyFound,
}

/// Accounts whose offers were listed within the last minute. Clones share them.
#[derive(Clone, Debug)]
pub struct RecentlyFound(Cache<AccountId, ()>);

impl Default for RecentlyFound {
    fn default() -> Self {
        const MAX_ACCOUNTS: u64 = 10_000;
        let ttl = Duration::from_mins(1);
        Self(Cache::builder().max_capacity(MAX_ACCOUNTS).time_to_live(ttl).build())
    }
}

impl OfferFinder {
    /// As [`OfferFinder::find`], but at most once a minute for each account: for requests, which
    /// anyone can repeat. A failed call counts for nothing.
    pub async fn find_for_request(&self, account: &AccountId) -> Result<(), LookupError> {
        if self.recently_found.0.get(account).await.is_none() {
            self.find(account).await?;
            self.recently_found.0.insert(account.clone(), ()).await;
        }
        Ok(())
    }

    /// Applies every offer that Stripe lists for the account and returns how many were unknown. An
    /// account that left the platform has none.
    pub async fn find(&self, account: &AccountId) -> Result<u64, LookupError> {
        let (mut found, mut after) = (0, None::<String>);
        loop {
            let list = OfferList::OfAccount(account);
            let page = match self.stripe.offers(list, after.as_deref()).await {
                Err(error) if error.is_gone() => return Ok(found),
                page => page?,
            };
            let as_of = page.at.unwrap_or_else(|| self.clock.now());
            for entry in &page.entries {
                let received = match Received::<FinancingOffer>::read(entry) {
                    Ok(received) => received,
                    Err(error) => {
                        tracing::error!(%error, "cannot read an offer in Stripe's list; skipped it");
                        continue;
                    }
                };
                let seen = ObservedOffer {
                    offer: &received.object,
                    object: &received.json,
                    source: Source::Listed,
                    as_of,
                };
                match self.apply(&seen).await {
                    Ok(Applied::New) => found += 1,
                    Ok(Applied::Changed | Applied::Same) => {}
                    Err(error) if is_about_the_data(&error) => {
                        let error = chain(&error);
                        tracing::error!(
                            error,
                            "cannot store an offer of Stripe's list; skipped it"
                        );
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            self.jobs.notify();
            if !page.has_more {
                return Ok(found);
            }
            after = page.last_id();
            if after.is_none() {
                tracing::error!("Stripe announces another page of offers after one without ids");
                return Ok(found);
            }
        }
    }

    async fn apply(&self, seen: &ObservedOffer<'_>) -> sqlx::Result<Applied> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let (applied, backfills) = apply(&mut tx, seen, &self.letters, now).await?;
        backfills.queue(&mut tx, now).await?;
        tx.commit().await?;
        Ok(applied)
    }
}
