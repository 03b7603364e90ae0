//! What Stripe said a moment ago, so that a thousand letters do not cost three thousand calls.
//!
//! Each letter wants to know whether its offer still waits. Where several ask at once, the newer offers that still wait are
//! fetched in one list of a hundred, because the letters about them are the next to ask. Accounts are remembered for longer:
//! their addresses seldom change. Nothing is remembered beyond the process, and nothing is decided by it that an event of a later
//! change does not undo (`flow::email::withdraw`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moka::future::Cache as Moka;
use tokio::sync::Mutex;

use super::{Account, AccountId, Answered, Client, Error, FinancingOffer, OfferId, Person};

/// Between looking at an offer and sending its letter something can always happen; this is about as long as a letter takes.
const OFFERS_FOR: Duration = Duration::from_secs(10);
/// Somebody who mends an address waits no longer than this for it to be used.
const ACCOUNTS_FOR: Duration = Duration::from_mins(2);
/// Of each; an offer is some 2 KB, an account some 10 KB.
const MOST: u64 = 1000;

/// Asks Stripe, and remembers the answers for a while. Clones share them.
#[derive(Clone, Debug)]
pub struct Cache {
    client: Client,
    offers: Moka<OfferId, Arc<Answered<FinancingOffer>>>,
    accounts: Moka<AccountId, Arc<Account>>,
    owners: Moka<AccountId, Option<Arc<Person>>>,
    /// Those who wait for an answer about an offer.
    asking: Arc<AtomicUsize>,
    /// Held by who fetches a list.
    listing: Arc<Mutex<()>>,
}

impl Cache {
    /// Remembers nothing yet.
    pub fn new(client: Client) -> Self {
        let accounts = Moka::builder().max_capacity(MOST).time_to_live(ACCOUNTS_FOR).build();
        let owners = Moka::builder().max_capacity(MOST).time_to_live(ACCOUNTS_FOR).build();
        let offers = Moka::builder().max_capacity(MOST).time_to_live(OFFERS_FOR).build();
        Self { client, offers, accounts, owners, asking: Arc::default(), listing: Arc::default() }
    }

    /// The same memory, and calls that a person waits for.
    #[must_use]
    pub fn interactive(&self) -> Self {
        Self { client: self.client.interactive(), ..self.clone() }
    }

    /// The offer as it was not longer than ten seconds ago. What was remembered is told once: who asks again wants to know anew.
    pub async fn offer(&self, id: &OfferId) -> Result<Arc<Answered<FinancingOffer>>, Error> {
        // `remove` would tell what is too old as well.
        if let Some(known) = self.offers.get(id).await {
            self.offers.invalidate(id).await;
            return Ok(known);
        }
        let others = self.asking.fetch_add(1, Ordering::SeqCst);
        let _asked = Asked(&self.asking);
        let found = match self.listing.try_lock() {
            // Several ask at once: there is a backlog, and those who come next will ask about newer offers.
            Ok(_listing) if others > 0 => {
                let (found, newer) =
                    tokio::join!(self.client.offer(id), self.client.undelivered_after(id));
                // A list that did not come costs nothing but the calls that it would have saved.
                for offer in newer.unwrap_or_default() {
                    self.offers.insert(offer.object.id.clone(), Arc::new(offer)).await;
                }
                found
            }
            Ok(_) | Err(_) => self.client.offer(id).await,
        };
        found.map(Arc::new)
    }

    /// The account as it was not longer than two minutes ago.
    pub async fn account(&self, id: &AccountId) -> Result<Arc<Account>, Error> {
        if let Some(known) = self.accounts.get(id).await {
            return Ok(known);
        }
        let account = Arc::new(self.client.account(id).await?);
        self.accounts.insert(id.clone(), Arc::clone(&account)).await;
        Ok(account)
    }

    /// The account's owner, likewise.
    pub async fn owner(&self, id: &AccountId) -> Result<Option<Arc<Person>>, Error> {
        if let Some(known) = self.owners.get(id).await {
            return Ok(known);
        }
        let owner = self.client.owner(id).await?.map(Arc::new);
        self.owners.insert(id.clone(), owner.clone()).await;
        Ok(owner)
    }

    /// Forgets an account and its owner: who asks next gets them as they are.
    pub async fn forget(&self, id: &AccountId) {
        self.accounts.invalidate(id).await;
        self.owners.invalidate(id).await;
    }
}

/// Counts one who asks until it is dropped, also where the asking is cut off.
struct Asked<'a>(&'a AtomicUsize);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
