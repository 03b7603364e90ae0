//! `offer`: look at offers, and decide about letters that a person must decide about.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cli::out::{self, say};
use crate::consent::suppression;
use crate::database::{self, Pool};
use crate::flow::delivered;
use crate::format::locale::{Formats, Language};
use crate::format::money::Money;
use crate::letters::store::Shown as Letter;
use crate::letters::{self, operator};
use crate::maintenance::replicas;
use crate::offers;
use crate::offers::timeline;
use crate::stripe::OfferId;

/// How long `resend` waits for what becomes of the letter: a person waits too.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List the newest offers
    List {
        /// Only those with this status
        #[arg(long)]
        status: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an offer, its letter, its delivery and all that happened to it
    Show {
        /// financingoffer_…
        id: OfferId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send the letter that is held, was rejected or came back, if the offer is still open
    ///
    /// Waits for some seconds where a process works on the database, and says what became of it. Ends
    /// with 1 where the letter is held or rejected again.
    Resend {
        /// financingoffer_…
        id: OfferId,
    },
    /// Do not send the letter that waits or is held
    Withdraw {
        /// financingoffer_…
        id: OfferId,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    super::with_database(config, async |db| act(db, action).await).await
}

async fn act(db: &Pool, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { status, limit, json } => {
            let offers = offers::store::list(db, status.as_deref(), i64::from(limit)).await?;
            if json {
                return out::json(&offers);
            }
            for offer in offers {
                say!("{}", line(&offer))?;
            }
            Ok(())
        }
        Action::Show { id, json } => show(db, id.as_str(), json).await,
        Action::Resend { id } => resend(db, id.as_str()).await,
        Action::Withdraw { id } => {
            let mut tx = db.begin().await?;
            let now = database::now(&mut *tx).await?;
            let withdrawn = operator::withdraw(&mut tx, id.as_str(), now).await?;
            tx.commit().await?;
            ensure!(
                withdrawn > 0,
                "{id} has no letter that waits or is held: see `offer show {id}`"
            );
            say!("{id}: the letter is withdrawn")?;
            Ok(())
        }
    }
}

async fn resend(db: &Pool, id: &str) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let resent = operator::resend(&mut tx, id, now).await?;
    let refused = suppression::store::of_offer(&mut *tx, id).await?;
    let letters = letters::store::of_offer(&mut *tx, id).await?;
    tx.commit().await?;
    ensure!(
        resent > 0,
        "{id} has no letter that is held, rejected or bounced: see `offer show {id}`"
    );
    say!("{id}: the letter waits to be sent")?;
    for address in refused {
        say!("  {}", no_letter_goes_there(&address))?;
        say!("  unless Stripe has another for the account, the letter will be held again")?;
    }
    let moved = letters.into_iter().max_by_key(|letter| letter.changed_at);
    let moved = moved.with_context(|| format!("the letter of {id} is gone"))?;
    if !replicas::is_any_alive(db).await? {
        say!("  no process works on this database now: it goes out when one does")?;
        return Ok(());
    }
    let letter = outcome_of(db, id, moved).await?;
    say_outcome(id, &letter)
}

/// The letter once it was decided about, or as it is after [`OUTCOME_TIMEOUT`].
async fn outcome_of(db: &Pool, offer: &str, letter: Letter) -> anyhow::Result<Letter> {
    let deadline = Instant::now() + OUTCOME_TIMEOUT;
    let mut letter = letter;
    while matches!(letter.state.as_str(), "waiting" | "sending") && Instant::now() < deadline {
        tokio::time::sleep(POLL_INTERVAL).await;
        let letters = letters::store::of_offer(db, offer).await?;
        let found = letters.into_iter().find(|found| found.letter_id == letter.letter_id);
        letter = found.with_context(|| format!("the letter of {offer} is gone"))?;
    }
    Ok(letter)
}

fn say_outcome(id: &str, letter: &Letter) -> anyhow::Result<()> {
    let reason = letter.reason.as_deref().unwrap_or("no reason is recorded");
    match letter.state.as_str() {
        "sent" => Ok(say!(
            "{id}: the letter was sent: {}",
            letter.relay_answer.as_deref().unwrap_or_default()
        )?),
        "waiting" | "sending" => {
            Ok(say!("{id}: the letter is still {}: see `offer show {id}`", letter.state)?)
        }
        "held" => {
            anyhow::bail!("{id}: the letter is held again: {reason}: {}", remedy(reason))
        }
        state => anyhow::bail!("{id}: the letter is {state}: {reason}: see `offer show {id}`"),
    }
}

/// What ends a hold for this reason (`letters.reason`).
fn remedy(reason: &str) -> &'static str {
    match reason {
        "no_recipient" => {
            "give the account an email address at Stripe, or name one with PUT /api/v1/accounts/{account}/contact"
        }
        "bad_address" => {
            "correct the account's email address at Stripe, or name another with PUT /api/v1/accounts/{account}/contact"
        }
        "address_bounced" => {
            "name another address, or let letters go there again with `address allow`"
        }
        "no_disclaimer" => {
            "put the wording that Stripe approved into email.disclaimers_dir, and restart"
        }
        "copy_not_approved" => "record Stripe's approval with `email approve`",
        "no_terms" | "bad_terms" => {
            "ask Stripe for the offer's terms: they are missing, or make no sense"
        }
        "gave_up" => "see the error with `job list`",
        "uncertain" => {
            "look in the relay's log whether it took the letter; then `offer resend` or `offer withdraw`"
        }
        _ => "see `offer show`",
    }
}

fn line(offer: &offers::store::Shown) -> String {
    let currency = offer.currency.clone().unwrap_or_default();
    let formats = Formats::new(Language::English, None);
    let advance = offer.advance_minor.map(|minor| formats.money(&Money { minor, currency }));
    let created = offer.created_at.format("%Y-%m-%d %H:%M");
    format!(
        "{}  {created}  {:<20}  {:>14}  {}",
        offer.offer_id,
        offer.status,
        advance.unwrap_or_default(),
        offer.account_id
    )
}

fn no_letter_goes_there(address: &suppression::store::Shown) -> String {
    let since = address.noted_at.format("%Y-%m-%d %H:%M");
    format!(
        "no letter goes to its address since {since} ({} {}): `address allow {}` if it works again",
        address.reason, address.status, address.address_sha256
    )
}

async fn show(db: &Pool, id: &str, json: bool) -> anyhow::Result<()> {
    let offer =
        offers::store::find(db, id).await?.with_context(|| format!("no offer {id} is known"))?;
    let letters = letters::store::of_offer(db, id).await?;
    let refused = suppression::store::of_offer(db, id).await?;
    let delivery = delivered::store::find(db, id).await?;
    let lines = timeline::of_offer(db, id).await?;
    if json {
        return out::json(&serde_json::json!({
            "offer": offer, "letters": letters, "refused_addresses": refused, "delivery": delivery,
            "timeline": lines,
        }));
    }
    say!("{}", line(&offer))?;
    for letter in letters {
        let reason = letter.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        say!("  letter    {}{reason}, handed over {} times", letter.state, letter.attempt)?;
        if letter.doubts > 0 && letter.state != "sent" {
            say!("            may have been sent: nobody knows for {} of them", letter.doubts)?;
        }
        say!("            <{}>", letter.message_id)?;
        say!("            {}", letter.relay_answer.unwrap_or_default())?;
    }
    for address in refused {
        say!("            {}", no_letter_goes_there(&address))?;
    }
    if let Some(delivery) = delivery {
        let answer = delivery.answer_status.map(|status| format!(", Stripe answered {status}"));
        say!("  delivery  {}{}", delivery.state, answer.unwrap_or_default())?;
        say!("            {}", delivery.note.unwrap_or_default())?;
    }
    for line in lines {
        let at = line.happened_at.format("%Y-%m-%d %H:%M:%S");
        say!("  {at}  {:<45}  {}", line.what, line.note.unwrap_or_default())?;
    }
    Ok(())
}
