//! Applies a report to the letter, the suppression list and the opt-outs, in one transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::store::{self, ReportEffect};
use super::{Cause, FeedbackEvent, FeedbackReport, LetterRef, RecipientReport};
use crate::consent::opt_outs::{OptOutRequest, OptOutSource, opt_out};
use crate::consent::suppression::{self, AddressFailure, AddressHash, SuppressionReason};
use crate::database::{Pool, with_timeout};
use crate::letters::store::{Letter, State, Transition, lock_referenced};
use crate::letters::transition;
use crate::mail::Address;
use crate::offers::timeline::{self, Entry};

/// The effect of a report. If it has several, the last in this list is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FeedbackOutcome {
    /// No letter with these references was sent.
    NoSuchLetter,
    /// About another recipient, such as the blind copy; no effect.
    OtherRecipient,
    /// The letter was delayed, or delivered after all; no effect.
    Transient,
    /// Reported as not spam; no effect.
    NotSpam,
    /// Already applied, or already bounced; no effect.
    Duplicate,
    /// The letter bounced while it was held or queued to be sent again; added to its timeline.
    Recorded,
    /// The letter is now `bounced`.
    Bounced,
    /// The account is opted out.
    OptedOut,
}

impl FeedbackOutcome {
    /// As in `feedback_events.outcome` and in the response to the sender.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The effect of a report, and the letter that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedReport {
    pub outcome: FeedbackOutcome,
    /// `None` if no such letter was sent.
    pub letter_id: Option<String>,
    pub offer_id: Option<String>,
}

/// Why a report was not applied. The sender must repeat it.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The letter was handed to the relay and its reply is not recorded yet. A bounce can be that
    /// fast.
    #[error("the letter is still being sent")]
    StillSending,
    #[error("cannot record the effects of the report")]
    Database(#[from] sqlx::Error),
}

/// Applies a report; all effects are committed when this returns. `bcc` is the address of the blind
/// copy of each letter.
pub async fn apply(
    db: &Pool,
    report: &FeedbackReport,
    bcc: Option<&Address>,
    now: DateTime<Utc>,
) -> Result<AppliedReport, ApplyError> {
    with_timeout(apply_unless_sending(db, report, bcc, now)).await?.ok_or(ApplyError::StillSending)
}

async fn apply_unless_sending(
    db: &Pool,
    report: &FeedbackReport,
    bcc: Option<&Address>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<AppliedReport>> {
    let nothing =
        AppliedReport { outcome: FeedbackOutcome::NoSuchLetter, letter_id: None, offer_id: None };
    let mut tx = db.begin().await?;
    let LetterRef { letter_ids, message_ids } = &report.letter_ref;
    let Some(letter) = lock_referenced(&mut tx, letter_ids, message_ids).await? else {
        return Ok(Some(nothing));
    };
    // The outcome of the attempt is not recorded yet, and the report must not decide it.
    if letter.state == State::Sending {
        return Ok(None);
    }
    // A letter that was never sent cannot bounce.
    if letter.attempt == 0 {
        return Ok(Some(nothing));
    }
    // Checked under the letter's lock, so two deliveries of one report cannot both pass.
    let outcome = if store::exists(&mut *tx, &report.fingerprint).await? {
        FeedbackOutcome::Duplicate
    } else {
        apply_events(&mut tx, report, letter.clone(), bcc, now).await?
    };
    tx.commit().await?;
    tracing::info!(
        letter.message_id = letter.message_id,
        report.channel = report.channel.as_str(),
        report.outcome = outcome.as_str(),
        "applied a feedback report"
    );
    Ok(Some(AppliedReport {
        outcome,
        letter_id: Some(letter.letter_id),
        offer_id: Some(letter.offer_id),
    }))
}

async fn apply_events(
    tx: &mut PgConnection,
    report: &FeedbackReport,
    mut letter: Letter,
    bcc: Option<&Address>,
    now: DateTime<Utc>,
) -> sqlx::Result<FeedbackOutcome> {
    let mut effect = (FeedbackOutcome::OtherRecipient, None);
    let merchant = letter.recipient.clone().unwrap_or_default();
    for recipient in report.recipients.iter().filter(|recipient| recipient.is_about(&merchant, bcc))
    {
        let outcome = apply_event(&mut *tx, &mut letter, &recipient.event, now).await?;
        if outcome > effect.0 {
            effect = (outcome, recipient.event.detail());
        }
    }
    // Stored even without an effect, so that a repeat is recognized.
    let stored =
        ReportEffect { letter_id: &letter.letter_id, outcome: effect.0.as_str(), detail: effect.1 };
    store::insert(tx, report, &stored, now).await?;
    Ok(effect.0)
}

impl RecipientReport {
    /// Whether this is about the merchant. A bounce names the address that the letter was sent to.
    /// A complaint often hides its author (RFC 6590), or comes from an address that the merchant
    /// forwards to, so it counts unless it names the blind copy.
    fn is_about(&self, merchant: &str, bcc: Option<&Address>) -> bool {
        let names = |wanted: &str| {
            self.addresses.iter().any(|address| address.eq_ignore_ascii_case(wanted))
        };
        match self.event {
            FeedbackEvent::Failed { .. } | FeedbackEvent::Transient => names(merchant),
            FeedbackEvent::Complaint { .. }
            | FeedbackEvent::NotSpam
            | FeedbackEvent::Unsubscribed => {
                names(merchant) || !bcc.is_some_and(|bcc| names(bcc.expose()))
            }
        }
    }
}

impl FeedbackEvent {
    fn detail(&self) -> Option<&str> {
        match self {
            Self::Failed { status, .. } => Some(status),
            Self::Complaint { kind } => Some(kind),
            Self::Transient | Self::NotSpam | Self::Unsubscribed => None,
        }
    }
}

/// Applies one event.
async fn apply_event(
    tx: &mut PgConnection,
    letter: &mut Letter,
    event: &FeedbackEvent,
    now: DateTime<Utc>,
) -> sqlx::Result<FeedbackOutcome> {
    match event {
        FeedbackEvent::Transient => Ok(FeedbackOutcome::Transient),
        FeedbackEvent::NotSpam => Ok(FeedbackOutcome::NotSpam),
        FeedbackEvent::Failed { status, cause } => {
            apply_failure(tx, letter, status, *cause, now).await
        }
        FeedbackEvent::Complaint { kind } => {
            // The letter itself stays `sent`: it arrived.
            add_entry(&mut *tx, letter, "letter.complained", Some(kind), now).await?;
            opt_account_out(tx, letter, OptOutSource::Complaint, now).await
        }
        FeedbackEvent::Unsubscribed => {
            add_entry(&mut *tx, letter, "letter.unsubscribed", None, now).await?;
            opt_account_out(tx, letter, OptOutSource::Sender, now).await
        }
    }
}

async fn apply_failure(
    tx: &mut PgConnection,
    letter: &mut Letter,
    status: &str,
    cause: Cause,
    now: DateTime<Utc>,
) -> sqlx::Result<FeedbackOutcome> {
    let outcome = match letter.state {
        State::Sent => {
            let reason = format!("status {status}");
            let bounced = Transition {
                reason: Some(&reason),
                ..Transition::between(State::Sent, State::Bounced)
            };
            transition::apply(&mut *tx, letter, &bounced, now).await?;
            tracing::warn!(letter.message_id = letter.message_id, status, "letter bounced");
            letter.state = State::Bounced;
            FeedbackOutcome::Bounced
        }
        // Another report already bounced the letter and, if needed, suppressed its address.
        State::Bounced => return Ok(FeedbackOutcome::Duplicate),
        // The letter's fate was unknown, or it is being sent again: only record that an earlier
        // copy bounced.
        State::Waiting
        | State::Sending
        | State::Uncertain
        | State::Held
        | State::Rejected
        | State::Withdrawn
        | State::Suppressed => {
            add_entry(&mut *tx, letter, "letter.came_back", Some(status), now).await?;
            FeedbackOutcome::Recorded
        }
    };
    if let (Cause::Address, Some(recipient)) = (cause, &letter.recipient) {
        let failure = AddressFailure {
            address: AddressHash::of(recipient),
            reason: SuppressionReason::Bounce,
            status,
        };
        suppression::record(tx, letter, &failure, now).await?;
    }
    Ok(outcome)
}

async fn opt_account_out(
    tx: &mut PgConnection,
    letter: &Letter,
    source: OptOutSource,
    now: DateTime<Utc>,
) -> sqlx::Result<FeedbackOutcome> {
    let note = format!("about {}", letter.letter_id);
    let request =
        OptOutRequest { account_id: &letter.account_id, source, note: Some(&note), since: now };
    opt_out(tx, &request, now).await?;
    Ok(FeedbackOutcome::OptedOut)
}

async fn add_entry(
    tx: &mut PgConnection,
    letter: &Letter,
    kind: &str,
    note: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let entry = Entry { note, ..Entry::ours(&letter.offer_id, &letter.account_id, kind, now) };
    timeline::add(tx, &entry, now).await
}
