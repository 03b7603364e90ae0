//! A short-lived, in-memory cache of offers and accounts, which keeps a batch of letters within
//! Stripe's rate limits.
//!
//! Each letter checks that its offer is still undelivered. While several checks run at once, a
//! backlog is being processed: one request then lists the next hundred undelivered offers, whose
//! letters follow; checks that begin meanwhile wait for that list. Accounts are cached for longer,
//! because they seldom change. A stale entry is harmless: the event about the change withdraws the
//! letter (`flow::email::withdraw`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moka::future::Cache as Moka;
use tokio::sync::Mutex;

use super::{Account, AccountId, ApiResponse, Client, Error, FinancingOffer, OfferId, Person};

/// About as long as it takes to send a letter: an offer can change that late in any case.
const OFFER_TTL: Duration = Duration::from_secs(10);
/// The delay until a corrected address is used.
const ACCOUNT_TTL: Duration = Duration::from_mins(2);
/// Entries per kind. An offer takes about 2 KB, an account about 10 KB.
const MAX_ENTRIES: u64 = 1000;

/// A [`Client`] with a cache. Clones share the entries.
#[derive(Clone, Debug)]
pub struct Cache {
    client: Client,
    offers: Moka<OfferId, Arc<ApiResponse<FinancingOffer>>>,
    accounts: Moka<AccountId, Arc<Account>>,
    owners: Moka<AccountId, Option<Arc<Person>>>,
    /// Requests for an offer in flight.
    in_flight: Arc<AtomicUsize>,
    /// Held while a list is being fetched: one at a time is enough.
    listing: Arc<Mutex<()>>,
}

impl Cache {
    pub fn new(client: Client) -> Self {
        let accounts = Moka::builder().max_capacity(MAX_ENTRIES).time_to_live(ACCOUNT_TTL).build();
        let owners = Moka::builder().max_capacity(MAX_ENTRIES).time_to_live(ACCOUNT_TTL).build();
        let offers = Moka::builder().max_capacity(MAX_ENTRIES).time_to_live(OFFER_TTL).build();
        Self {
            client,
            offers,
            accounts,
            owners,
            in_flight: Arc::default(),
            listing: Arc::default(),
        }
    }

    /// The same cache with the timeout for calls that a person waits for.
    #[must_use]
    pub fn interactive(&self) -> Self {
        Self { client: self.client.interactive(), ..self.clone() }
    }

    /// The offer, at most ten seconds old. A cached offer is returned once: a second call for the
    /// same offer checks again, so it must reach Stripe.
    pub async fn offer(&self, id: &OfferId) -> Result<Arc<ApiResponse<FinancingOffer>>, Error> {
        if let Some(cached) = self.take(id).await {
            return Ok(cached);
        }
        let others = self.in_flight.fetch_add(1, Ordering::SeqCst);
        let _guard = InFlight(&self.in_flight);
        let listing = if let Ok(listing) = self.listing.try_lock() {
            Some(listing).filter(|_| others > 0)
        } else {
            // The list that is being fetched probably has this offer.
            drop(self.listing.lock().await);
            if let Some(cached) = self.take(id).await {
                return Ok(cached);
            }
            self.listing.try_lock().ok()
        };
        let found = match listing {
            // Other requests are in flight: there is a backlog, and the next ones are for newer
            // offers.
            Some(_listing) => {
                let (found, newer) =
                    tokio::join!(self.client.offer(id), self.client.undelivered_after(id));
                // The list is an optimization: ignore its failure.
                for offer in newer.unwrap_or_default() {
                    self.offers.insert(offer.object.id.clone(), Arc::new(offer)).await;
                }
                found
            }
            None => self.client.offer(id).await,
        };
        found.map(Arc::new)
    }

    /// Removes and returns a cached offer.
    async fn take(&self, id: &OfferId) -> Option<Arc<ApiResponse<FinancingOffer>>> {
        // `get`, because `remove` also returns expired entries.
        let cached = self.offers.get(id).await?;
        self.offers.invalidate(id).await;
        Some(cached)
    }

    /// The account, at most two minutes old.
    pub async fn account(&self, id: &AccountId) -> Result<Arc<Account>, Error> {
        if let Some(cached) = self.accounts.get(id).await {
            return Ok(cached);
        }
        let account = Arc::new(self.client.account(id).await?);
        self.accounts.insert(id.clone(), Arc::clone(&account)).await;
        Ok(account)
    }

    /// The account's owner, at most two minutes old.
    pub async fn owner(&self, id: &AccountId) -> Result<Option<Arc<Person>>, Error> {
        if let Some(cached) = self.owners.get(id).await {
            return Ok(cached);
        }
        let owner = self.client.owner(id).await?.map(Arc::new);
        self.owners.insert(id.clone(), owner.clone()).await;
        Ok(owner)
    }

    /// Drops an account and its owner from the cache.
    pub async fn forget(&self, id: &AccountId) {
        self.accounts.invalidate(id).await;
        self.owners.invalidate(id).await;
    }
}

/// Counts a request until it is dropped, including when its future is cancelled.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
