//! Waits for the outcome of an email that an operator queued, and prints it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;

use crate::cli::out::{self, MINUTE, say};
use crate::consent::suppression::{self, SuppressedAddress};
use crate::database::Pool;
use crate::letters::reason::{explain, remedy};
use crate::letters::store::{self, Letter, State};
use crate::mail::mask::masked_address;
use crate::maintenance::replicas;

/// An operator is waiting too.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Prints what became of a letter that was just queued. An error if it is not sent and will not be.
pub(super) async fn print_outcome(db: &Pool, letter_id: &str, as_json: bool) -> anyhow::Result<()> {
    let queued_at = Instant::now();
    let letter = find(db, letter_id).await?;
    let offer_id = letter.offer_id.as_str();
    let suppressed = suppression::list_for_offer(&mut *db.begin().await?, offer_id).await?;
    let has_worker = replicas::is_any_alive(db).await?;
    if !as_json {
        say!("{offer_id}: the email is queued")?;
        for address in &suppressed {
            say!("  {}", describe_suppressed(address))?;
            say!("  unless Stripe has another address for the account, the email is held again")?;
        }
        if !has_worker {
            say!("  no worker is running: the email is sent when one starts")?;
        }
    }
    let letter = if has_worker { settled(db, letter, queued_at).await? } else { letter };
    let seconds = queued_at.elapsed().as_secs_f32();
    if as_json {
        print_json(&letter, &suppressed, seconds, has_worker)?;
    } else if letter.state == State::Sent {
        let to = letter.recipient.as_deref().map(masked_address).unwrap_or_default();
        let reply = reply(db, &letter).await?;
        say!("{}: sent to {to} in {seconds:.1} s: {reply}", letter.offer_id)?;
    } else if has_worker && matches!(letter.state, State::Waiting | State::Sending) {
        let why = letter.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let (offer_id, state) = (&letter.offer_id, letter.state.as_str());
        say!("{offer_id}: the email is still {state}{why}: see `offer show {offer_id}`")?;
    }
    expect_sent(&letter)
}

fn print_json(
    letter: &Letter,
    suppressed: &[SuppressedAddress],
    seconds: f32,
    has_worker: bool,
) -> anyhow::Result<()> {
    let remedy = letter.reason.as_deref().filter(|_| letter.state == State::Held).map(remedy);
    out::json(&json!({
        "offer_id": letter.offer_id,
        "letter_id": letter.letter_id,
        "outcome": letter.state.as_str(),
        "reason": letter.reason,
        "remedy": remedy,
        "recipient": letter.recipient.as_deref().map(masked_address),
        "seconds": (f64::from(seconds) * 10.0).round() / 10.0,
        "is_worker_running": has_worker,
        "suppressed_addresses": suppressed,
    }))
}

/// An error for a letter that is not sent and will not be.
fn expect_sent(letter: &Letter) -> anyhow::Result<()> {
    let Letter { offer_id, state, .. } = letter;
    let reason = letter.reason.as_deref().unwrap_or("no reason is recorded");
    match state {
        State::Sent | State::Waiting | State::Sending => Ok(()),
        State::Held => {
            let (why, remedy) = (explain(reason), remedy(reason));
            bail!("{offer_id}: held again: {reason}: {why}: {remedy}")
        }
        State::Rejected
        | State::Uncertain
        | State::Withdrawn
        | State::Suppressed
        | State::Bounced => {
            let state = state.as_str();
            bail!("{offer_id}: the email is {state}: {reason}: see `offer show {offer_id}`")
        }
    }
}

/// The letter once it is no longer queued, or its state after [`OUTCOME_TIMEOUT`].
async fn settled(db: &Pool, mut letter: Letter, since: Instant) -> anyhow::Result<Letter> {
    while matches!(letter.state, State::Waiting | State::Sending)
        && since.elapsed() < OUTCOME_TIMEOUT
    {
        tokio::time::sleep(POLL_INTERVAL).await;
        letter = find(db, &letter.letter_id).await?;
    }
    Ok(letter)
}

async fn find(db: &Pool, letter_id: &str) -> anyhow::Result<Letter> {
    let found = store::find(db, letter_id).await?;
    found.with_context(|| format!("the email {letter_id} no longer exists"))
}

/// What the relay said.
async fn reply(db: &Pool, letter: &Letter) -> sqlx::Result<String> {
    let letters = store::of_offer(db, &letter.offer_id).await?;
    let letter = letters.into_iter().find(|found| found.letter_id == letter.letter_id);
    Ok(letter.and_then(|letter| letter.relay_reply).unwrap_or_default())
}

pub(super) fn describe_suppressed(address: &SuppressedAddress) -> String {
    let since = address.suppressed_at.format(MINUTE);
    format!(
        "its address is suppressed since {since} ({} {}): `address allow {}` allows it again",
        address.reason, address.status, address.address_sha256
    )
}
