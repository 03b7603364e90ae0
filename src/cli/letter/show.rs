//! `letter show`: an email as it was sent, with its evidence.

use anyhow::Context;
use serde_json::json;

use crate::cli::out::{self, SECOND, say};
use crate::database::{self, Pool};
use crate::letters::evidence::store::{AttemptRecord, attempts_of};
use crate::letters::reason::remedy;
use crate::letters::store::{self, Letter, State};
use crate::mail::Address;
use crate::mail::mask::{masked, masked_recipient};

pub(super) async fn show(
    db: &Pool,
    id: &str,
    addresses: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut tx = database::snapshot(db).await?;
    let letter = store::find(&mut *tx, id).await?;
    let mut letter = letter.with_context(|| format!("email {id} not found"))?;
    let mut attempts = attempts_of(&mut *tx, &[id.to_owned()]).await?;
    drop(tx);
    let recipient = letter.recipient.as_deref().map(|address| shown(address, addresses));
    for attempt in &mut attempts {
        attempt.recipient = shown(&attempt.recipient, addresses);
    }
    if !addresses {
        mask_content(&mut letter);
    }
    if as_json {
        return out::json(&json!({
            "letter_id": letter.letter_id, "offer_id": letter.offer_id,
            "account_id": letter.account_id, "kind": letter.kind, "locale": letter.locale,
            "resend_number": letter.resend_number, "state": letter.state.as_str(),
            "reason": letter.reason, "message_id": letter.message_id, "recipient": recipient,
            "subject": letter.subject, "text": letter.body_text, "html": letter.body_html,
            "copy_hash": letter.copy_hash, "disclaimer_variant": letter.disclaimer_variant,
            "uncertain_attempts": letter.uncertain_attempts, "attempts": attempts,
        }));
    }
    print_head(&letter, recipient.as_deref())?;
    attempts.iter().try_for_each(print_attempt)?;
    let Some(text) = &letter.body_text else {
        let why = if letter.attempt == 0 { "not written yet" } else { "erased" };
        return Ok(say!("  text        {why}")?);
    };
    say!("")?;
    text.lines().try_for_each(|line| say!("{line}"))?;
    Ok(())
}

/// The footer of an email names its recipient.
fn mask_content(letter: &mut Letter) {
    let Some(to) = letter.recipient.as_deref().and_then(|to| to.parse::<Address>().ok()) else {
        return;
    };
    for content in [&mut letter.subject, &mut letter.body_text, &mut letter.body_html] {
        *content = content.as_deref().map(|text| masked(text, &to));
    }
}

fn shown(recipient: &str, addresses: bool) -> String {
    if addresses { recipient.to_owned() } else { masked_recipient(recipient) }
}

fn print_head(letter: &Letter, recipient: Option<&str>) -> anyhow::Result<()> {
    let Letter { letter_id, offer_id, account_id, kind, message_id, .. } = letter;
    let reason = letter.reason.as_deref();
    let why = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    say!("{letter_id}  {kind}  {}{why}", letter.state.as_str())?;
    say!("  offer       {offer_id}  {account_id}")?;
    if letter.resend_number > 0 {
        say!("  resend      {}, by an operator", letter.resend_number)?;
    }
    say!("  message     <{message_id}>")?;
    say!("  recipient   {}", recipient.unwrap_or("none yet"))?;
    say!("  subject     {}", letter.subject.as_deref().unwrap_or("none yet"))?;
    if letter.state == State::Held
        && let Some(reason) = reason
    {
        say!("  what to do  {}", remedy(reason))?;
    }
    Ok(())
}

fn print_attempt(attempt: &AttemptRecord) -> anyhow::Result<()> {
    let at = attempt.attempted_at.format(SECOND);
    let outcome = attempt.outcome.as_deref().unwrap_or("under way");
    let reply = attempt.reply.as_deref().unwrap_or_default();
    say!("  attempt {:<3} {at}  to {}: {outcome} {reply}", attempt.attempt, attempt.recipient)?;
    let checked = attempt.consent_checked_at.format(SECOND);
    say!("              opt-outs and suppressed addresses checked {checked}")?;
    let hash = attempt.copy_hash.as_deref().unwrap_or("without a hash");
    match (&attempt.approval_market, &attempt.approval_reference, &attempt.approved_by) {
        (Some(market), Some(reference), Some(by)) => {
            say!("              wording {hash}: approved for {market} by {by} ({reference})")?;
        }
        _ => say!("              wording {hash}: no approval, test data")?,
    }
    Ok(say!("              SHA-256 {}", attempt.message_sha256)?)
}
