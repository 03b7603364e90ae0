//! The log of what operators did. Append-only; an entry is committed together with its act.

mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Instruction;
use crate::offers;

pub use store::{ActionFilter, LoggedAction, dismissed, export, list, list_of_offer};

/// An act, as the log records it.
#[derive(Clone, Debug)]
pub struct Action<'a> {
    /// `letter.resend`, `opt_out.add`, …: the object, then the verb.
    pub name: &'a str,
    /// What was acted on, as `type:id`, such as `offer:financingoffer_…`.
    pub subject: String,
    pub offer_id: Option<String>,
    /// The offer's account is added by itself.
    pub account_id: Option<String>,
    /// What came of it, in a few words.
    pub outcome: &'a str,
}

impl<'a> Action<'a> {
    /// About neither an offer nor an account.
    pub fn new(name: &'a str, subject: String, outcome: &'a str) -> Self {
        Self { name, subject, offer_id: None, account_id: None, outcome }
    }

    pub fn about_offer(name: &'a str, offer_id: &str, outcome: &'a str) -> Self {
        let subject = format!("offer:{offer_id}");
        Self { offer_id: Some(offer_id.to_owned()), ..Self::new(name, subject, outcome) }
    }

    pub fn about_account(name: &'a str, account_id: &str, outcome: &'a str) -> Self {
        let subject = format!("account:{account_id}");
        Self { account_id: Some(account_id.to_owned()), ..Self::new(name, subject, outcome) }
    }
}

impl Instruction {
    /// Adds the act to the log, in the caller's transaction: neither the act nor its entry exists
    /// without the other.
    pub async fn record(
        &self,
        tx: &mut PgConnection,
        mut action: Action<'_>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        if let (Some(offer_id), None) = (&action.offer_id, &action.account_id) {
            let offer = offers::store::find(&mut *tx, offer_id).await?;
            action.account_id = offer.map(|offer| offer.account_id);
        }
        store::insert(tx, self, &action, now).await
    }
}
