//! `offer show`: whether the merchant has the email, and everything about the offer.

use anyhow::Context;

use super::list::advance;
use crate::cli::out::{self, MINUTE, SECOND, say};
use crate::cli::settle::describe_suppressed;
use crate::consent::suppression::SuppressedAddress;
use crate::database::Pool;
use crate::letters::store::LetterSummary;
use crate::mail::mask::masked_recipient;
use crate::operators::actions::LoggedAction;
use crate::operators::offer_case;

pub(super) async fn show(db: &Pool, id: &str, json: bool) -> anyhow::Result<()> {
    let case = offer_case::read(db, id).await?;
    let mut case = case.with_context(|| format!("offer {id} not found"))?;
    for attempt in &mut case.attempts {
        attempt.recipient = masked_recipient(&attempt.recipient);
    }
    if json {
        return out::json(&case);
    }
    let offer = &case.offer;
    let created = offer.created_at.format(MINUTE);
    let (status, account) = (&offer.status, &offer.account_id);
    say!("{id}  {created}  {status}  {}  {account}", advance(offer))?;
    say!("  {}", case.answer.sentence)?;
    if let Some(remedy) = case.answer.remedy {
        say!("  {remedy}")?;
    }
    print_letters(&case.letters, &case.suppressed_addresses)?;
    if let Some(delivery) = &case.delivery {
        let answer = delivery.response_status.map(|status| format!(", Stripe answered {status}"));
        say!("  delivery  {}{}", delivery.state, answer.unwrap_or_default())?;
        if let Some(note) = delivery.note.as_deref().filter(|note| !note.is_empty()) {
            say!("            {note}")?;
        }
    }
    for entry in &case.timeline {
        let (at, note) = (entry.happened_at.format(SECOND), entry.note.as_deref());
        say!("  {at}  {:<45}  {}", entry.kind, note.unwrap_or_default())?;
    }
    for LoggedAction { acted_at, operator, action, outcome, reason, .. } in &case.actions {
        let (at, why) = (acted_at.format(SECOND), reason.as_deref().unwrap_or("no reason given"));
        say!("  {at}  {action:<45}  {outcome}, by {operator}: {why}")?;
    }
    Ok(())
}

fn print_letters(
    letters: &[LetterSummary],
    suppressed: &[SuppressedAddress],
) -> anyhow::Result<()> {
    for letter in letters {
        let reason = letter.reason.as_deref().map(|reason| format!(" ({reason})"));
        let reason = reason.unwrap_or_default();
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
        if let Some(reply) = letter.relay_reply.as_deref().filter(|reply| !reply.is_empty()) {
            say!("            {reply}")?;
        }
    }
    for address in suppressed {
        say!("            {}", describe_suppressed(address))?;
    }
    Ok(())
}
