//! Letters for an operator: lists with the market of each, and acts on one or on many.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::database::{self, Pool};
use crate::letters::listing::{self, LetterFilter, ListedLetter};
use crate::letters::operator::{self, SentAgain};
use crate::letters::store::{Letter, State};
use crate::offers;
use crate::stripe::market_of_disclaimer;

use super::Instruction;
use super::actions::Action;
use super::acts::ActError;

/// Letters per query, and per transaction of [`change_all`]: thousands must not block the writers
/// of their offers.
const BATCH: i64 = 200;

/// A letter in a list.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LetterInMarket {
    #[serde(flatten)]
    pub letter: ListedLetter,
    /// Of its disclaimer, else of its offer's; `None` if neither is known.
    pub market: Option<&'static str>,
}

/// The newest letters that the filter selects, in any market or in one.
pub async fn list(
    db: &Pool,
    filter: &LetterFilter<'_>,
    market: Option<&str>,
) -> sqlx::Result<Vec<LetterInMarket>> {
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    // The market is not a column: letters are read until enough of them are in it.
    let batch = if market.is_some() { BATCH } else { filter.limit.min(BATCH) };
    let mut found: Vec<LetterInMarket> = Vec::new();
    let mut before = filter.before.map(str::to_owned);
    while found.len() < limit {
        let page = LetterFilter { before: before.as_deref(), limit: batch, ..*filter };
        let letters = listing::list(db, &page).await?;
        let Some(last) = letters.last() else { break };
        before = Some(last.letter_id.clone());
        let with_market = in_markets(db, letters).await?;
        found.extend(
            with_market
                .into_iter()
                .filter(|letter| market.is_none_or(|market| letter.market == Some(market))),
        );
    }
    found.truncate(limit);
    Ok(found)
}

async fn in_markets(db: &Pool, letters: Vec<ListedLetter>) -> sqlx::Result<Vec<LetterInMarket>> {
    let offers: Vec<String> = letters.iter().map(|letter| letter.offer_id.clone()).collect();
    let variants = offers::store::disclaimer_variants(db, &offers).await?;
    let with_market = letters.into_iter().map(|letter| {
        let variant = letter.disclaimer_variant.as_ref().or(variants.get(&letter.offer_id));
        let market = variant.and_then(|variant| market_of_disclaimer(variant));
        LetterInMarket { letter, market }
    });
    Ok(with_market.collect())
}

/// Retries a held letter. Returns it as it was.
pub async fn release(db: &Pool, by: &Instruction, letter_id: &str) -> Result<Letter, ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let letter = existing(operator::release(&mut tx, letter_id, now).await?, letter_id)?;
    if letter.state != State::Held {
        let why = format!("{letter_id} is {}, not held", letter.state.as_str());
        return Err(ActError::Refused(why));
    }
    by.record(&mut tx, about(&letter, "letter.release", "queued"), now).await?;
    tx.commit().await?;
    Ok(letter)
}

/// What an operator does to many letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Release,
    Withdraw,
}

/// Releases or withdraws those of the letters whose state still allows it, in small transactions: a
/// crash leaves the rest as it was. Calls `progress` with the number of letters after each. Returns
/// how many were changed.
pub async fn change_all(
    db: &Pool,
    by: &Instruction,
    change: Change,
    mut letters: Vec<LetterInMarket>,
    progress: impl Fn(usize),
) -> Result<usize, ActError> {
    // In the order in which other writers lock offers and their letters.
    letters.sort_by(|LetterInMarket { letter: one, .. }, LetterInMarket { letter: other, .. }| {
        (&one.offer_id, &one.letter_id).cmp(&(&other.offer_id, &other.letter_id))
    });
    let mut changed = 0;
    for batch in letters.chunks(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
        let mut tx = db.begin().await?;
        let now = database::now(&mut *tx).await?;
        for LetterInMarket { letter, .. } in batch {
            changed += usize::from(change_one(&mut tx, by, change, &letter.letter_id, now).await?);
        }
        tx.commit().await?;
        progress(batch.len());
    }
    Ok(changed)
}

async fn change_one(
    tx: &mut PgConnection,
    by: &Instruction,
    change: Change,
    letter_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let (letter, name, outcome) = match change {
        Change::Release => {
            let letter = operator::release(&mut *tx, letter_id, now).await?;
            let letter = letter.filter(|letter| letter.state == State::Held);
            (letter, "letter.release", "queued")
        }
        Change::Withdraw => {
            let letter = operator::withdraw_letter(&mut *tx, letter_id, now).await?;
            let letter = letter.filter(|letter| operator::may_withdraw(letter.state));
            (letter, "letter.withdraw", "withdrawn")
        }
    };
    let Some(letter) = letter else { return Ok(false) };
    by.record(tx, about(&letter, name, outcome), now).await?;
    Ok(true)
}

/// Withdraws a letter that waits or is held. Returns it as it was.
pub async fn withdraw(db: &Pool, by: &Instruction, letter_id: &str) -> Result<Letter, ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let letter = existing(operator::withdraw_letter(&mut tx, letter_id, now).await?, letter_id)?;
    if !operator::may_withdraw(letter.state) {
        let why = format!(
            "{letter_id} is {}: only one that waits or is held can be withdrawn",
            letter.state.as_str()
        );
        return Err(ActError::Refused(why));
    }
    by.record(&mut tx, about(&letter, "letter.withdraw", "withdrawn"), now).await?;
    tx.commit().await?;
    Ok(letter)
}

/// Sends one more letter about an offer whose first one was sent. Requires a reason. Returns the id
/// of the new letter.
pub async fn send_again(db: &Pool, by: &Instruction, offer_id: &str) -> Result<String, ActError> {
    if by.reason.is_none() {
        let why = "sending an email again needs a reason".to_owned();
        return Err(ActError::Refused(why));
    }
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let letter_id = match operator::send_again(&mut tx, offer_id, now).await? {
        SentAgain::Queued(letter_id) => letter_id,
        SentAgain::NotSent => {
            let why = format!("{offer_id} has no email that was sent: see `offer show {offer_id}`");
            return Err(ActError::Refused(why));
        }
        SentAgain::Unsettled { letter_id, state } => {
            let why = format!(
                "{offer_id} has an email that is {}: {letter_id}; resend or withdraw it first",
                state.as_str()
            );
            return Err(ActError::Refused(why));
        }
    };
    let outcome = format!("queued {letter_id}");
    by.record(&mut tx, Action::about_offer("letter.send_again", offer_id, &outcome), now).await?;
    tx.commit().await?;
    Ok(letter_id)
}

fn existing(letter: Option<Letter>, letter_id: &str) -> Result<Letter, ActError> {
    letter.ok_or_else(|| ActError::Refused(format!("{letter_id} does not exist")))
}

fn about<'a>(letter: &Letter, name: &'a str, outcome: &'a str) -> Action<'a> {
    Action {
        offer_id: Some(letter.offer_id.clone()),
        account_id: Some(letter.account_id.clone()),
        ..Action::new(name, format!("letter:{}", letter.letter_id), outcome)
    }
}
