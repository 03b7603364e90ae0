//! `offer`: look at offers, and decide about letters that a person must decide about.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use sqlx::PgPool;

use crate::database;
use crate::flow::{delivered, email, offer};
use crate::locale::{Formats, Language};
use crate::money::Money;
use crate::stripe::OfferId;
use crate::timeline;

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
    super::over_the_database(config, async |db| act(db, action).await).await
}

async fn act(db: &PgPool, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { status, limit, json } => {
            let offers = offer::store::list(db, status.as_deref(), i64::from(limit)).await?;
            if json {
                return super::print_json(&offers);
            }
            for offer in offers {
                println!("{}", line(&offer));
            }
            Ok(())
        }
        Action::Show { id, json } => show(db, id.as_str(), json).await,
        Action::Resend { id } => {
            let mut tx = db.begin().await?;
            let now = database::now(&mut *tx).await?;
            let resent = email::resend(&mut tx, id.as_str(), now).await?;
            let refused = email::refused::store::of_offer(&mut *tx, id.as_str()).await?;
            tx.commit().await?;
            ensure!(
                resent > 0,
                "{id} has no letter that is held, rejected or bounced: see `offer show {id}`"
            );
            println!("{id}: the letter waits to be sent");
            for address in refused {
                println!("  {}", no_letter_goes_there(&address));
                println!("  unless Stripe has another for the account, the letter will be held again");
            }
            Ok(())
        }
        Action::Withdraw { id } => {
            let mut tx = db.begin().await?;
            let now = database::now(&mut *tx).await?;
            let withdrawn = email::withdraw_by_hand(&mut tx, id.as_str(), now).await?;
            tx.commit().await?;
            ensure!(withdrawn > 0, "{id} has no letter that waits or is held: see `offer show {id}`");
            println!("{id}: the letter is withdrawn");
            Ok(())
        }
    }
}

fn line(offer: &offer::store::Shown) -> String {
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

fn no_letter_goes_there(address: &email::refused::store::Shown) -> String {
    let since = address.noted_at.format("%Y-%m-%d %H:%M");
    format!(
        "no letter goes to its address since {since} ({} {}): `address allow {}` if it works again",
        address.reason, address.status, address.address_sha256
    )
}

async fn show(db: &PgPool, id: &str, json: bool) -> anyhow::Result<()> {
    let offer = offer::store::find(db, id).await?.with_context(|| format!("no offer {id} is known"))?;
    let letters = email::store::of_offer(db, id).await?;
    let refused = email::refused::store::of_offer(db, id).await?;
    let delivery = delivered::store::find(db, id).await?;
    let lines = timeline::of_offer(db, id).await?;
    if json {
        return super::print_json(&serde_json::json!({
            "offer": offer, "letters": letters, "refused_addresses": refused, "delivery": delivery,
            "timeline": lines,
        }));
    }
    println!("{}", line(&offer));
    for letter in letters {
        let reason = letter.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        println!("  letter    {}{reason}, handed over {} times", letter.state, letter.attempt);
        if letter.doubts > 0 && letter.state != "sent" {
            println!("            may have been sent: nobody knows for {} of them", letter.doubts);
        }
        println!("            <{}>", letter.message_id);
        println!("            {}", letter.relay_answer.unwrap_or_default());
    }
    for address in refused {
        println!("            {}", no_letter_goes_there(&address));
    }
    if let Some(delivery) = delivery {
        let answer = delivery.answer_status.map(|status| format!(", Stripe answered {status}"));
        println!("  delivery  {}{}", delivery.state, answer.unwrap_or_default());
        println!("            {}", delivery.note.unwrap_or_default());
    }
    for line in lines {
        let at = line.happened_at.format("%Y-%m-%d %H:%M:%S");
        println!("  {at}  {:<45}  {}", line.what, line.note.unwrap_or_default());
    }
    Ok(())
}
