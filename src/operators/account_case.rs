//! What is known about one account. Reads the database alone, in one snapshot.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::actions::{self, ActionFilter, LoggedAction};
use super::offer_case;
use crate::consent::opt_outs::store::OptOut;
use crate::consent::suppression::SuppressedAddress;
use crate::consent::{contact_overrides, opt_outs, suppression};
use crate::database::{self, Pool};
use crate::financing::ledger::{self, Totals};
use crate::flow::delivered::{self, StoredReport};
use crate::letters::deliveries::{self, DeliverySummary};
use crate::letters::evidence::store::{
    AttemptRecord, SentWording, attempts_of, wordings_of_account,
};
use crate::letters::store::LetterSummary;
use crate::mail::mask::{masked_address, masked_recipient};
use crate::offers::store::OfferListing;
use crate::{letters, offers};

#[derive(Debug, Serialize)]
pub struct AccountCase {
    pub account_id: String,
    /// The address that the platform or an operator set. Without it, letters go to Stripe's.
    pub contact: Option<SetContact>,
    pub opt_outs: Vec<OptOut>,
    pub financings: Vec<Totals>,
    pub wordings: Vec<SentWording>,
    /// Newest first.
    pub offers: Vec<AccountOfferCase>,
    /// What operators did about it, newest first.
    pub actions: Vec<LoggedAction>,
}

#[derive(Debug, Serialize)]
pub struct SetContact {
    /// Masked.
    pub address: String,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
}

#[derive(Debug, Serialize)]
pub struct AccountOfferCase {
    #[serde(flatten)]
    pub offer: OfferListing,
    pub letters: Vec<LetterSummary>,
    /// Why there is no email; `None` if there is one.
    pub without_letter: Option<String>,
    /// Of all letters, in order of time. Recipients are masked.
    pub attempts: Vec<AttemptRecord>,
    pub suppressed_addresses: Vec<SuppressedAddress>,
    pub delivery: Option<DeliverySummary>,
    pub delivery_reports: Vec<StoredReport>,
}

/// Acts of operators that are shown.
const ACTIONS: i64 = 50;

/// Empty for an account that nothing is known about.
pub async fn read(db: &Pool, account_id: &str) -> sqlx::Result<AccountCase> {
    let mut tx = database::snapshot(db).await?;
    let contact = contact_overrides::find(&mut *tx, account_id).await?;
    let mut reports = delivered::reports_of_account(&mut *tx, account_id).await?;
    let mut offers = Vec::new();
    for offer in offers::store::list_of_account(&mut *tx, account_id).await? {
        let id = offer.offer_id.as_str();
        let letters = letters::store::of_offer(&mut *tx, id).await?;
        let ids: Vec<String> = letters.iter().map(|letter| letter.letter_id.clone()).collect();
        let mut attempts = attempts_of(&mut *tx, &ids).await?;
        for attempt in &mut attempts {
            attempt.recipient = masked_recipient(&attempt.recipient);
        }
        let delivery_reports: Vec<StoredReport> =
            reports.extract_if(.., |report| report.offer_id == id).collect();
        let without_letter = || offer_case::without_letter(&offer, delivery_reports.first());
        offers.push(AccountOfferCase {
            attempts,
            without_letter: letters.is_empty().then(without_letter),
            letters,
            suppressed_addresses: suppression::list_for_offer(&mut tx, id).await?,
            delivery: deliveries::find(&mut *tx, id).await?,
            delivery_reports,
            offer,
        });
    }
    let actions =
        ActionFilter { account_id: Some(account_id), limit: ACTIONS, ..ActionFilter::default() };
    Ok(AccountCase {
        account_id: account_id.to_owned(),
        contact: contact.map(|contact| SetContact {
            address: masked_address(&contact.address),
            updated_at: contact.updated_at,
            updated_by: contact.updated_by,
        }),
        financings: ledger::store::totals(&mut tx, account_id, None).await?,
        wordings: wordings_of_account(&mut *tx, account_id).await?,
        actions: actions::list(&mut *tx, &actions).await?,
        opt_outs: opt_outs::store::of_account(&mut *tx, account_id).await?,
        offers,
    })
}
