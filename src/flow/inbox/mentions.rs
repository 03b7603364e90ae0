//! Offers and accounts that a batch of events names: Stripe is asked about those that were unknown
//! when the event arrived.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use crate::offers;
use crate::offers::look_up::LookUps;
use crate::stripe::{AccountId, FinancingOffer, OfferId};

/// What events name, each with its position in the batch.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    offers: Vec<(usize, OfferId)>,
    accounts: Vec<(usize, AccountId)>,
}

impl Mentions {
    pub(super) fn offer(&mut self, position: usize, id: &OfferId) {
        self.offers.push((position, id.clone()));
    }

    pub(super) fn account(&mut self, position: usize, id: AccountId) {
        self.accounts.push((position, id));
    }

    /// The ids of those that are known. Asked before the offers of the batch are stored.
    pub(super) async fn known(&self, tx: &mut PgConnection) -> sqlx::Result<HashSet<String>> {
        let offers: Vec<String> = self.offers.iter().map(|(_, id)| id.to_string()).collect();
        let accounts: Vec<String> = self.accounts.iter().map(|(_, id)| id.to_string()).collect();
        offers::sets::known_among(tx, &offers, &accounts).await
    }

    /// The look-ups of what was neither `known` nor named by an earlier event as one of the `new`
    /// offers of the batch.
    pub(super) fn look_up(
        &self,
        known: &HashSet<String>,
        new: &[(usize, &FinancingOffer)],
        look_ups: &mut LookUps,
    ) {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (position, offer) in new {
            for id in [offer.id.as_str(), offer.account.as_str()] {
                let at = first.entry(id).or_insert(*position);
                *at = (*at).min(*position);
            }
        }
        let is_unknown = |position: usize, id: &str| {
            !known.contains(id) && first.get(id).is_none_or(|first| *first > position)
        };
        for (_, offer) in self.offers.iter().filter(|(at, id)| is_unknown(*at, id.as_str())) {
            look_ups.offer(offer);
        }
        for (_, account) in self.accounts.iter().filter(|(at, id)| is_unknown(*at, id.as_str())) {
            look_ups.account(account);
        }
    }
}
