//! `offer`: offers, and what an operator decides about their emails.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cli::out::{self, MINUTE, SECOND, say};
use crate::cli::table;
use crate::consent::suppression;
use crate::database::{self, Pool};
use crate::format::locale::{Formats, Language};
use crate::format::money::Money;
use crate::letters::store::{FirstLetter, LetterSummary as Letter};
use crate::letters::{self, deliveries, operator};
use crate::maintenance::replicas;
use crate::offers;
use crate::offers::store::OfferListing;
use crate::offers::timeline;
use crate::stripe::OfferId;

/// How long `resend` waits for the outcome: an operator is waiting too.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List the newest offers
    List {
        /// Only offers with this status
        #[arg(long)]
        status: Option<String>,
        /// Maximum number of offers
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an offer with its emails, its delivery and its timeline
    Show {
        /// financingoffer_…
        id: OfferId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send the email that is held, was rejected or bounced, if the offer is still open
    ///
    /// Waits some seconds for the outcome if a worker is running. Exit status: 1 if the email is
    /// held or rejected again.
    Resend {
        /// financingoffer_…
        id: OfferId,
    },
    /// Withdraw the email that waits or is held
    Withdraw {
        /// financingoffer_…
        id: OfferId,
    },
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::List { status, limit, json } => {
                list(db, status.as_deref(), limit.into(), json).await
            }
            Self::Show { id, json } => show(db, id.as_str(), json).await,
            Self::Resend { id } => resend(db, id.as_str()).await,
            Self::Withdraw { id } => {
                let mut tx = db.begin().await?;
                let now = database::now(&mut *tx).await?;
                let withdrawn = operator::withdraw(&mut tx, id.as_str(), now).await?;
                tx.commit().await?;
                ensure!(
                    withdrawn > 0,
                    "{id} has no email that waits or is held: see `offer show {id}`"
                );
                Ok(say!("{id}: the email is withdrawn")?)
            }
        }
    }
}

async fn resend(db: &Pool, id: &str) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let resent = operator::resend(&mut tx, id, now).await?;
    let suppressed = suppression::list_for_offer(&mut tx, id).await?;
    let letters = letters::store::of_offer(&mut *tx, id).await?;
    tx.commit().await?;
    ensure!(
        resent > 0,
        "{id} has no email that is held, rejected or bounced: see `offer show {id}`"
    );
    say!("{id}: the email is queued")?;
    for address in suppressed {
        say!("  {}", describe_suppressed(&address))?;
        say!("  unless Stripe has another address for the account, the email is held again")?;
    }
    let changed = letters.into_iter().max_by_key(|letter| letter.changed_at);
    let changed = changed.with_context(|| format!("the email of {id} no longer exists"))?;
    if !replicas::is_any_alive(db).await? {
        say!("  no worker is running: the email is sent when one starts")?;
        return Ok(());
    }
    let letter = outcome_of(db, id, changed).await?;
    say_outcome(id, &letter)
}

/// The letter once it is no longer queued, or its state after [`OUTCOME_TIMEOUT`].
async fn outcome_of(db: &Pool, offer: &str, letter: Letter) -> anyhow::Result<Letter> {
    let deadline = Instant::now() + OUTCOME_TIMEOUT;
    let mut letter = letter;
    while matches!(letter.state.as_str(), "waiting" | "sending") && Instant::now() < deadline {
        tokio::time::sleep(POLL_INTERVAL).await;
        let letters = letters::store::of_offer(db, offer).await?;
        let found = letters.into_iter().find(|found| found.letter_id == letter.letter_id);
        letter = found.with_context(|| format!("the email of {offer} no longer exists"))?;
    }
    Ok(letter)
}

fn say_outcome(id: &str, letter: &Letter) -> anyhow::Result<()> {
    let reason = letter.reason.as_deref().unwrap_or("no reason is recorded");
    match letter.state.as_str() {
        "sent" => Ok(say!(
            "{id}: the email was sent: {}",
            letter.relay_reply.as_deref().unwrap_or_default()
        )?),
        "waiting" | "sending" => {
            Ok(say!("{id}: the email is still {}: see `offer show {id}`", letter.state)?)
        }
        "held" => {
            anyhow::bail!(
                "{id}: the email is held again: {reason}: {}",
                letters::reason::remedy(reason)
            )
        }
        state => anyhow::bail!("{id}: the email is {state}: {reason}: see `offer show {id}`"),
    }
}

/// An offer as listed, with what became of its first email.
#[derive(Debug, serde::Serialize)]
struct ListedOffer {
    #[serde(flatten)]
    offer: OfferListing,
    /// `None` while the offer has no email.
    letter_state: Option<String>,
    letter_reason: Option<String>,
}

async fn list(db: &Pool, status: Option<&str>, limit: i64, json: bool) -> anyhow::Result<()> {
    let mut tx = database::snapshot(db).await?;
    let offers = offers::store::list(&mut *tx, status, limit).await?;
    let ids: Vec<String> = offers.iter().map(|offer| offer.offer_id.clone()).collect();
    let letters = letters::store::first_of_offers(&mut *tx, &ids).await?;
    drop(tx);
    let mut letters: HashMap<String, FirstLetter> =
        letters.into_iter().map(|letter| (letter.offer_id.clone(), letter)).collect();
    let listed: Vec<ListedOffer> = offers
        .into_iter()
        .map(|offer| {
            let letter = letters.remove(&offer.offer_id);
            let (state, reason) = letter.map(|letter| (letter.state, letter.reason)).unzip();
            ListedOffer { offer, letter_state: state, letter_reason: reason.flatten() }
        })
        .collect();
    let titles = ["offer", "created", "status", "advance", "account", "email"];
    table::print(json, &listed, titles, |ListedOffer { offer, letter_state, letter_reason }| {
        let reason = letter_reason.as_deref().map(|reason| format!(" ({reason})"));
        let state = letter_state.as_deref().unwrap_or("none");
        [
            offer.offer_id.clone(),
            offer.created_at.format(MINUTE).to_string(),
            offer.status.clone(),
            advance(offer),
            offer.account_id.clone(),
            format!("{state}{}", reason.unwrap_or_default()),
        ]
    })
}

fn advance(offer: &OfferListing) -> String {
    let currency = offer.currency.clone().unwrap_or_default();
    let formats = Formats::new(Language::English, None);
    let advance = offer.advance_minor.map(|minor| formats.money(&Money { minor, currency }));
    advance.unwrap_or_default()
}

fn describe_suppressed(address: &suppression::SuppressedAddress) -> String {
    let since = address.suppressed_at.format(MINUTE);
    format!(
        "its address is suppressed since {since} ({} {}): `address allow {}` allows it again",
        address.reason, address.status, address.address_sha256
    )
}

async fn show(db: &Pool, id: &str, json: bool) -> anyhow::Result<()> {
    let offer =
        offers::store::find(db, id).await?.with_context(|| format!("offer {id} not found"))?;
    let letters = letters::store::of_offer(db, id).await?;
    let suppressed = suppression::list_for_offer(&mut *db.begin().await?, id).await?;
    let delivery = deliveries::find(db, id).await?;
    let entries = timeline::of_offer(db, id).await?;
    if json {
        return out::json(&serde_json::json!({
            "offer": offer, "letters": letters, "suppressed_addresses": suppressed, "delivery": delivery,
            "timeline": entries,
        }));
    }
    let created = offer.created_at.format(MINUTE);
    let (status, account) = (&offer.status, &offer.account_id);
    say!("{id}  {created}  {status}  {}  {account}", advance(&offer))?;
    for letter in letters {
        let reason = letter.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        say!("  email     {}{reason}, attempts: {}", letter.state, letter.attempt)?;
        if letter.uncertain_attempts > 0 && letter.state != "sent" {
            say!(
                "            may have been sent: attempts without an answer: {}",
                letter.uncertain_attempts
            )?;
        }
        say!("            <{}>", letter.message_id)?;
        say!("            {}", letter.relay_reply.unwrap_or_default())?;
    }
    for address in suppressed {
        say!("            {}", describe_suppressed(&address))?;
    }
    if let Some(delivery) = delivery {
        let answer = delivery.response_status.map(|status| format!(", Stripe answered {status}"));
        say!("  delivery  {}{}", delivery.state, answer.unwrap_or_default())?;
        say!("            {}", delivery.note.unwrap_or_default())?;
    }
    for entry in entries {
        let at = entry.happened_at.format(SECOND);
        say!("  {at}  {:<45}  {}", entry.kind, entry.note.unwrap_or_default())?;
    }
    Ok(())
}
