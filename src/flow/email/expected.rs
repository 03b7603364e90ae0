//! Who would get a letter now: the accounts whose first letter about an open offer has not gone
//! out, and what the sending stage would find for each. Writes nothing.

use std::collections::BTreeMap;

use super::recipient::{self, NoRecipient, Recipient, RecipientError};
use crate::clock::Clock;
use crate::consent;
use crate::database::Pool;
use crate::letters;
use crate::letters::store::FirstLetter;
use crate::offers;
use crate::stripe::{AccountId, Cache};

/// Looks up recipients as the sending stage does.
pub struct ExpectedRecipients {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Cache,
    /// The mode of the API key; `None` if its prefix does not say.
    pub livemode: Option<bool>,
    pub allow_support_address: bool,
}

/// An open offer whose first letter has not gone out.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OfferAwaitingLetter {
    pub offer_id: String,
    /// The letter's state; `None` if it was not written yet.
    pub letter_state: Option<String>,
    /// As in `letters.reason`.
    pub letter_reason: Option<String>,
}

/// What the sending stage would find for an account.
#[derive(Clone, Debug)]
pub enum ExpectedRecipient {
    Found(Recipient),
    OptedOut,
    NotFound(NoRecipient),
}

impl ExpectedRecipients {
    /// The accounts with such offers, by their ids. An offer counts until its letter is handed to
    /// the relay or withdrawn; one whose letter is held, was rejected or was suppressed still needs
    /// it.
    pub async fn accounts(&self) -> sqlx::Result<BTreeMap<String, Vec<OfferAwaitingLetter>>> {
        let open =
            offers::store::list_undelivered(&self.db, self.livemode, self.clock.now()).await?;
        let ids: Vec<String> = open.iter().map(|(_, offer)| offer.clone()).collect();
        let letters = letters::store::first_of_offers(&self.db, &ids).await?;
        let mut letters: BTreeMap<String, FirstLetter> =
            letters.into_iter().map(|letter| (letter.offer_id.clone(), letter)).collect();
        let mut accounts: BTreeMap<String, Vec<OfferAwaitingLetter>> = BTreeMap::new();
        for (account_id, offer_id) in open {
            let letter = letters.remove(&offer_id);
            let (letter_state, letter_reason) =
                letter.map(|letter| (letter.state, letter.reason)).unzip();
            let is_unsent = matches!(
                letter_state.as_deref(),
                None | Some("waiting" | "held" | "rejected" | "suppressed")
            );
            if is_unsent {
                let offer = OfferAwaitingLetter {
                    offer_id,
                    letter_state,
                    letter_reason: letter_reason.flatten(),
                };
                accounts.entry(account_id).or_default().push(offer);
            }
        }
        Ok(accounts)
    }

    /// Asks Stripe for an account, unless it opted out.
    pub async fn find(&self, account: &AccountId) -> Result<ExpectedRecipient, RecipientError> {
        let preferences = consent::preferences_of(&self.db, account.as_str()).await?;
        if preferences.is_opted_out {
            return Ok(ExpectedRecipient::OptedOut);
        }
        let set_by_platform = preferences.address.as_deref();
        let may_use_support = self.allow_support_address;
        let found =
            recipient::look_up(&self.db, &self.stripe, account, set_by_platform, may_use_support)
                .await?;
        Ok(match found {
            (_, Ok(recipient)) => ExpectedRecipient::Found(recipient),
            (_, Err(missing)) => ExpectedRecipient::NotFound(missing),
        })
    }
}
