//! What an operator can do. Each act and its entry in the log are one transaction; an act that
//! changes nothing is not logged.
//!
//! The caller wakes the workers where they poll; every act takes effect without that.

use sqlx::PgConnection;

use super::Instruction;
use super::actions::Action;
use super::attention::{DISMISS, Kind};
use crate::consent::contact_overrides::{self, NewContactOverride};
use crate::consent::opt_outs::{self, Note, OptOutOutcome, OptOutRequest, OptOutSource};
use crate::consent::suppression::{self, AddressHash, Lifted};
use crate::database::{self, Pool};
use crate::flow::email::SendLetter;
use crate::flow::{delivered, inbox};
use crate::letters::wording::approvals::{self, Approval, ApprovalFilter, CopyId, Withdrawal};
use crate::letters::{self, operator};
use crate::mail::Address;
use crate::maintenance::retention::{self, Erased};
use crate::offers;
use crate::queue::{self, NewJob, Work};

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The state does not allow it. The text says which state it is in, and what to do instead.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Sends the oldest letter of an offer again that is held, was rejected or bounced.
pub async fn resend(db: &Pool, by: &Instruction, offer_id: &str) -> Result<(), ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    if operator::resend(&mut tx, offer_id, now).await? == 0 {
        let why = format!("{offer_id} has no email that is held, rejected or bounced");
        return Err(ActError::Refused(why));
    }
    by.record(&mut tx, Action::about_offer("letter.resend", offer_id, "queued"), now).await?;
    Ok(tx.commit().await?)
}

/// Withdraws the letters of an offer that wait or are held. Returns their number, at least 1.
pub async fn withdraw(db: &Pool, by: &Instruction, offer_id: &str) -> Result<usize, ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let withdrawn = operator::withdraw(&mut tx, offer_id, now).await?;
    if withdrawn == 0 {
        let why = format!("{offer_id} has no email that waits or is held");
        return Err(ActError::Refused(why));
    }
    let outcome = format!("withdrew {withdrawn}");
    by.record(&mut tx, Action::about_offer("letter.withdraw", offer_id, &outcome), now).await?;
    tx.commit().await?;
    Ok(withdrawn)
}

/// Retries a dead job from its first attempt. A letter whose job died is held, and a delivery is
/// marked as refused: so it is the letter or the delivery that is retried, because the job alone
/// would find nothing to do.
pub async fn retry_job(db: &Pool, by: &Instruction, job_id: i64) -> Result<(), ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let job = queue::stats::find(&mut *tx, job_id).await?;
    let job = job.ok_or_else(|| ActError::Refused(format!("job {job_id} does not exist")))?;
    if job.state != "dead" {
        return Err(ActError::Refused(format!("job {job_id} is {}, not dead", job.state)));
    }
    let mut offer_id = None;
    let is_retried = if job.kind == SendLetter::KIND {
        let letter = letters::store::find(&mut *tx, &job.subject).await?;
        offer_id = letter.map(|letter| letter.offer_id);
        match &offer_id {
            Some(offer_id) => operator::resend(&mut tx, offer_id, now).await? > 0,
            None => false,
        }
    } else if job.kind == delivered::MarkDelivered::KIND {
        offer_id = Some(job.subject.clone());
        delivered::retry(&mut tx, &job.subject, now).await?
    } else {
        queue::requeue(&mut *tx, &NewJob::new(&job.kind, &job.subject, now)).await?
    };
    if !is_retried {
        let why =
            format!("job {job_id} is obsolete: its {} was completed in another way", job.subject);
        return Err(ActError::Refused(why));
    }
    let outcome = format!("queued {}:{}", job.kind, job.subject);
    let action = Action { offer_id, ..Action::new("job.retry", format!("job:{job_id}"), &outcome) };
    by.record(&mut tx, action, now).await?;
    Ok(tx.commit().await?)
}

/// Has an event read again, which is safe to repeat.
pub async fn replay_event(db: &Pool, by: &Instruction, event_id: &str) -> Result<(), ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    if !inbox::store::replay(&mut *tx, event_id).await? {
        let why = format!(
            "{event_id} cannot be read again: it is unknown, waits already, or its body was erased"
        );
        return Err(ActError::Refused(why));
    }
    let subject = format!("event:{event_id}");
    by.record(&mut tx, Action::new("event.replay", subject, "unread"), now).await?;
    Ok(tx.commit().await?)
}

/// Opts an account out. Waiting letters are suppressed. The reason is kept as the opt-out's note.
pub async fn opt_out(
    db: &Pool,
    by: &Instruction,
    account_id: &str,
) -> Result<OptOutOutcome, ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let request = OptOutRequest {
        account_id,
        source: OptOutSource::Operator,
        note: by.reason.as_ref().map(Note::as_str),
        since: now,
    };
    let outcome = opt_outs::opt_out(&mut tx, &request, now).await?;
    if outcome == OptOutOutcome::Inserted {
        let action = Action::about_account("opt_out.add", account_id, "opted out");
        by.record(&mut tx, action, now).await?;
    }
    tx.commit().await?;
    Ok(outcome)
}

/// Ends an account's opt-out. Suppressed letters stay suppressed.
pub async fn end_opt_out(db: &Pool, by: &Instruction, account_id: &str) -> Result<(), ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let (all, source) = (OptOutSource::ALL, OptOutSource::Operator);
    if !opt_outs::store::end(&mut *tx, account_id, all, source, now).await? {
        return Err(ActError::Refused(format!("{account_id} is not opted out")));
    }
    let action = Action::about_account("opt_out.remove", account_id, "no longer opted out");
    by.record(&mut tx, action, now).await?;
    Ok(tx.commit().await?)
}

/// Lifts the suppression of an address and retries the letters held for it.
pub async fn allow_address(
    db: &Pool,
    by: &Instruction,
    address: &AddressHash,
) -> Result<Lifted, ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let lifted = suppression::lift(&mut tx, address, "operator", now).await?;
    let lifted =
        lifted.ok_or_else(|| ActError::Refused("the address is not suppressed".to_owned()))?;
    let (subject, outcome) =
        (format!("address:{address}"), format!("allowed; queued {} emails", lifted.released));
    by.record(&mut tx, Action::new("address.allow", subject, &outcome), now).await?;
    tx.commit().await?;
    Ok(lifted)
}

/// Sets the address of an account's letters, and retries those that lack one. Returns the number of
/// retried letters.
pub async fn set_contact(
    db: &Pool,
    by: &Instruction,
    account_id: &str,
    address: &Address,
) -> Result<usize, ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    if !is_known_account(&mut tx, account_id).await? {
        return Err(ActError::Refused(format!("the account {account_id} is unknown")));
    }
    let request = NewContactOverride { account_id, address, updated_by: &by.operator };
    let released = contact_overrides::set(&mut tx, &request, now).await?;
    // The address is personal data, and the log is not erased: `Display` masks it.
    let outcome = format!("set {address}; queued {released} emails");
    let action = Action::about_account("contact.set", account_id, &outcome);
    by.record(&mut tx, action, now).await?;
    tx.commit().await?;
    Ok(released)
}

/// Removes the address that was set for an account: Stripe's is used again.
pub async fn clear_contact(db: &Pool, by: &Instruction, account_id: &str) -> Result<(), ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    if !contact_overrides::delete(&mut *tx, account_id).await? {
        return Err(ActError::Refused(format!("no address is set for {account_id}")));
    }
    let action = Action::about_account("contact.clear", account_id, "removed");
    by.record(&mut tx, action, now).await?;
    Ok(tx.commit().await?)
}

/// Records Stripe's approval of wordings and retries the letters that lacked one. Returns the number
/// of retried letters.
pub async fn approve(
    db: &Pool,
    by: &Instruction,
    copies: &[CopyId],
    approval: &Approval<'_>,
) -> Result<usize, ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    approvals::approve(&mut tx, copies, approval, now).await?;
    let subject = format!("market:{}", approval.market);
    let outcome = format!("approved {} wordings, {}", copies.len(), approval.reference);
    by.record(&mut tx, Action::new("wording.approve", subject, &outcome), now).await?;
    tx.commit().await?;
    // Letters in their own transactions: there may be thousands. A crash leaves the rest to the
    // next start.
    Ok(approvals::retry_held(db, now).await?)
}

/// Withdraws the selected approvals. Returns them.
pub async fn withdraw_approvals(
    db: &Pool,
    by: &Instruction,
    filter: &ApprovalFilter<'_>,
    withdrawal: &Withdrawal<'_>,
) -> Result<Vec<approvals::store::RecordedApproval>, approvals::WithdrawError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let withdrawn = approvals::withdraw(&mut tx, filter, withdrawal, now).await?;
    for approval in &withdrawn {
        let subject = format!("wording:{}", approval.copy_hash);
        let outcome = format!("withdrawn for {}", approval.market);
        by.record(&mut tx, Action::new("wording.withdraw", subject, &outcome), now).await?;
    }
    tx.commit().await?;
    Ok(withdrawn)
}

/// Erases an account's personal data, in the caller's transaction, which may erase more.
pub async fn erase_account(
    tx: &mut PgConnection,
    by: &Instruction,
    account_id: &str,
    with_evidence: bool,
) -> sqlx::Result<Erased> {
    let now = database::now(&mut *tx).await?;
    let erased = retention::erase_account(&mut *tx, account_id, with_evidence, now).await?;
    let outcome = if with_evidence { "erased, with the evidence" } else { "erased" };
    let action = Action::about_account("account.erase", account_id, outcome);
    by.record(tx, action, now).await?;
    Ok(erased)
}

/// Takes an entry off the list of what waits for an operator, until its row changes again.
/// `subject` is an [`Item`](super::attention::Item)'s.
pub async fn dismiss(db: &Pool, by: &Instruction, subject: &str) -> Result<(), ActError> {
    // As long as the longest id, and a type.
    const MAX_LENGTH: usize = 300;
    let is_plain = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
    let is_known = subject.len() <= MAX_LENGTH
        && subject
            .split_once(':')
            .is_some_and(|(of, id)| Kind::can_dismiss_type(of) && is_plain(id));
    if !is_known {
        let why = format!("{subject} cannot be dismissed: name it as `attention` prints it");
        return Err(ActError::Refused(why));
    }
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let (mut offer_id, mut account_id) = (None, None);
    match subject.split_once(':') {
        Some(("letter", id)) => {
            let letter = letters::store::find(&mut *tx, id).await?;
            offer_id = letter.map(|letter| letter.offer_id);
        }
        Some(("offer", id)) => offer_id = Some(id.to_owned()),
        Some(("account", id)) => account_id = Some(id.to_owned()),
        Some(_) | None => {}
    }
    let action =
        Action { offer_id, account_id, ..Action::new(DISMISS, subject.to_owned(), "dismissed") };
    by.record(&mut tx, action, now).await?;
    Ok(tx.commit().await?)
}

async fn is_known_account(tx: &mut PgConnection, account_id: &str) -> sqlx::Result<bool> {
    Ok(offers::store::knows_account(&mut *tx, account_id).await?
        || inbox::store::knows_account(tx, account_id).await?)
}
