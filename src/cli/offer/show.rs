//! `offer show`: an offer with its emails, its delivery and its timeline.

use anyhow::Context;

use super::list::advance;
use crate::cli::out::{self, MINUTE, SECOND, say};
use crate::cli::settle::describe_suppressed;
use crate::consent::suppression;
use crate::database::Pool;
use crate::letters::{self, deliveries};
use crate::offers;
use crate::offers::timeline;

pub(super) async fn show(db: &Pool, id: &str, json: bool) -> anyhow::Result<()> {
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
        let resend = match letter.resend_number {
            0 => String::new(),
            number => format!("resend {number}: "),
        };
        say!("  email     {resend}{}{reason}, attempts: {}", letter.state, letter.attempt)?;
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
