//! Search by anything that names one thing: an id, an address, a Message-ID. Every look-up is by a
//! key or an index, so a search takes milliseconds whatever the tables hold.
//!
//! Merchants' names are not searched: they are not stored.

use serde::Serialize;

use crate::consent::contact_overrides;
use crate::consent::suppression::{self, AddressHash};
use crate::database::Pool;
use crate::financing;
use crate::flow::inbox;
use crate::format::money::Money;
use crate::letters::deliveries;
use crate::letters::listing::{self, ListedLetter};
use crate::maintenance::retention;
use crate::{offers, queue};

/// Results of one kind.
const MAX_HITS: i64 = 50;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HitKind {
    Offer,
    Account,
    Letter,
    Event,
    Job,
    Transaction,
    /// A suppressed address; its id is the hash.
    Address,
}

impl HitKind {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Hit {
    pub kind: HitKind,
    pub id: String,
    pub offer_id: Option<String>,
    pub account_id: Option<String>,
    /// Its state, for a person.
    pub summary: String,
}

/// Finds what a term names, exactly. Addresses are compared without regard to case, and are found
/// after their erasure too, by their hash.
pub async fn search(db: &Pool, term: &str) -> sqlx::Result<Vec<Hit>> {
    let term = term.trim().trim_start_matches('<').trim_end_matches('>');
    let mut hits = Vec::new();
    if term.is_empty() {
        return Ok(hits);
    }
    hits.extend(listing::find_by_id(db, term).await?.map(letter_hit));
    if term.contains('@') {
        by_address(db, term, &mut hits).await?;
    } else if let Ok(hash) = term.parse::<AddressHash>() {
        by_address_hash(db, &hash, &mut hits).await?;
    }
    if let Ok(job_id) = term.parse() {
        hits.extend(queue::stats::find(db, job_id).await?.map(|job| job_hit(&job)));
    }
    by_stripe_id(db, term, &mut hits).await?;
    Ok(hits)
}

/// Stripe's ids: the prefix says what each is.
async fn by_stripe_id(db: &Pool, term: &str, hits: &mut Vec<Hit>) -> sqlx::Result<()> {
    match term.split_once('_').map(|(prefix, _)| prefix) {
        Some("financingoffer") => hits.extend(offer(db, term).await?),
        Some("acct") => hits.extend(account(db, term).await?),
        Some("evt") => hits.extend(event(db, term).await?),
        Some("cptxn") => hits.extend(transaction(db, term).await?),
        Some("req") => {
            for offer_id in deliveries::offers_of_request(db, term).await? {
                hits.extend(offer(db, &offer_id).await?);
            }
        }
        Some(_) | None => {}
    }
    Ok(())
}

async fn by_address(db: &Pool, address: &str, hits: &mut Vec<Hit>) -> sqlx::Result<()> {
    for account_id in contact_overrides::accounts_with(db, address, MAX_HITS).await? {
        let summary = "its emails go to this address".to_owned();
        hits.push(account_hit(account_id, summary));
    }
    let lower = address.to_lowercase();
    letters_to(db, vec![lower], hits).await?;
    by_address_hash(db, &AddressHash::of(address), hits).await
}

async fn by_address_hash(db: &Pool, hash: &AddressHash, hits: &mut Vec<Hit>) -> sqlx::Result<()> {
    // As the evidence keeps an erased recipient.
    letters_to(db, vec![format!("sha256:{hash}")], hits).await?;
    if let Some(found) = suppression::find(&mut *db.begin().await?, hash).await? {
        hits.push(Hit {
            kind: HitKind::Address,
            id: found.address_sha256,
            offer_id: Some(found.offer_id),
            account_id: None,
            summary: format!("suppressed: {} {}, {} held", found.reason, found.status, found.held),
        });
    }
    Ok(())
}

async fn letters_to(db: &Pool, recipients: Vec<String>, hits: &mut Vec<Hit>) -> sqlx::Result<()> {
    let letters = listing::sent_to(db, &recipients, MAX_HITS).await?;
    hits.extend(letters.into_iter().map(letter_hit));
    Ok(())
}

async fn offer(db: &Pool, offer_id: &str) -> sqlx::Result<Option<Hit>> {
    let found = offers::store::find(db, offer_id).await?;
    Ok(found.map(|offer| Hit {
        kind: HitKind::Offer,
        id: offer.offer_id.clone(),
        offer_id: Some(offer.offer_id),
        account_id: Some(offer.account_id),
        summary: offer.status,
    }))
}

async fn account(db: &Pool, account_id: &str) -> sqlx::Result<Option<Hit>> {
    if !retention::is_known(db, account_id).await? {
        return Ok(None);
    }
    let offers = offers::store::list_of_account(db, account_id).await?.len();
    Ok(Some(account_hit(account_id.to_owned(), format!("{offers} offers"))))
}

async fn event(db: &Pool, event_id: &str) -> sqlx::Result<Option<Hit>> {
    let found = inbox::store::find_summary(db, event_id).await?;
    Ok(found.map(|event| Hit {
        kind: HitKind::Event,
        id: event.event_id,
        offer_id: event.object_id.filter(|id| id.starts_with("financingoffer_")),
        account_id: event.account_id,
        summary: format!("{}: {}", event.event_type, event.state),
    }))
}

async fn transaction(db: &Pool, id: &str) -> sqlx::Result<Option<Hit>> {
    let found = financing::find_transaction(db, id).await?;
    Ok(found.map(|found| {
        let money = Money { minor: found.total_minor, currency: found.currency.clone() };
        Hit {
            kind: HitKind::Transaction,
            id: id.to_owned(),
            offer_id: found.offer_id,
            account_id: Some(found.account_id),
            summary: format!("{} {} {}", found.r#type, money.plain(), found.currency),
        }
    }))
}

fn letter_hit(letter: ListedLetter) -> Hit {
    let ListedLetter { letter_id, offer_id, account_id, kind, state, reason, .. } = letter;
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    Hit {
        kind: HitKind::Letter,
        id: letter_id,
        offer_id: Some(offer_id),
        account_id: Some(account_id),
        summary: format!("{kind}: {state}{reason}"),
    }
}

fn job_hit(job: &queue::stats::JobRow) -> Hit {
    let offer_id = Some(job.subject.clone()).filter(|id| id.starts_with("financingoffer_"));
    Hit {
        kind: HitKind::Job,
        id: job.job_id.to_string(),
        offer_id,
        account_id: None,
        summary: format!("{}:{}: {}", job.kind, job.subject, job.state),
    }
}

fn account_hit(account_id: String, summary: String) -> Hit {
    Hit {
        kind: HitKind::Account,
        id: account_id.clone(),
        offer_id: None,
        account_id: Some(account_id),
        summary,
    }
}
