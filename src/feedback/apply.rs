//! Takes a report in: everything that follows from it, in one transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::store::{self, Done};
use super::{Cause, FeedbackEvent, Finding, Report};
use crate::consent::opt_outs::{OptOutRequest, Source, opt_out};
use crate::consent::suppression::{self, AddressFailure, AddressHash, Reason};
use crate::database::{Pool, with_timeout};
use crate::letters::store::{Letter, State, Transition, find};
use crate::letters::transition;
use crate::mail::Address;
use crate::offers::timeline::{self, Entry};

/// FeedbackEvent a report did. Of several things the last one in this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FeedbackOutcome {
    /// It is about no letter of ours that was sent.
    NoSuchLetter,
    /// It is about somebody else who had the letter, such as the blind copy: nothing changed.
    OtherRecipient,
    /// The letter is only late, or arrived after all: nothing changed.
    Transient,
    /// Somebody says that the letter is no spam: nothing changed.
    NotSpam,
    /// It was known already: nothing changed.
    Duplicate,
    /// The letter came back while it was held, or about to be sent again: that stands in its timeline.
    Recorded,
    /// The letter is `bounced` now.
    Bounced,
    /// The account gets no more letters.
    OptedOut,
}

impl FeedbackOutcome {
    /// As in `feedback_events.outcome`, and as the senders of reports hear it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// FeedbackEvent a report did, and to which letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// FeedbackEvent it did.
    pub outcome: FeedbackOutcome,
    /// The letter, where it is one of ours that was sent.
    pub letter_id: Option<String>,
    /// The offer that the letter is about.
    pub offer_id: Option<String>,
}

/// Why a report was not taken. It is to be told again.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The relay has the letter and its answer is not written down yet: mail can be as quick as that.
    #[error("the letter is still being sent")]
    BeingSent,
    /// The database did not take it.
    #[error("cannot write down what the report says")]
    Database(#[from] sqlx::Error),
}

/// Takes a report in. When this returns, all that follows is committed. `copy` is who gets the blind copy of each letter.
pub async fn apply(
    db: &Pool,
    report: &Report,
    copy: Option<&Address>,
    now: DateTime<Utc>,
) -> Result<Applied, ApplyError> {
    with_timeout(take_unless_being_sent(db, report, copy, now)).await?.ok_or(ApplyError::BeingSent)
}

async fn take_unless_being_sent(
    db: &Pool,
    report: &Report,
    copy: Option<&Address>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Applied>> {
    let nothing =
        Applied { outcome: FeedbackOutcome::NoSuchLetter, letter_id: None, offer_id: None };
    let mut tx = db.begin().await?;
    let Some(letter_id) = store::lock_letter(&mut tx, &report.letter_ref).await? else {
        return Ok(Some(nothing));
    };
    let Some(letter) = find(&mut *tx, &letter_id).await? else { return Ok(Some(nothing)) };
    if letter.state == State::Sending {
        return Ok(None);
    }
    // FeedbackEvent never left cannot come back.
    if letter.attempt == 0 {
        return Ok(Some(nothing));
    }
    let outcome = if store::has(&mut *tx, &report.fingerprint).await? {
        FeedbackOutcome::Duplicate
    } else {
        take_anew(&mut tx, report, letter.clone(), copy, now).await?
    };
    tx.commit().await?;
    tracing::info!(
        letter.message_id = letter.message_id,
        report.channel = report.channel.as_str(),
        report.outcome = outcome.as_str(),
        "took a report"
    );
    Ok(Some(Applied {
        outcome,
        letter_id: Some(letter.letter_id),
        offer_id: Some(letter.offer_id),
    }))
}

async fn take_anew(
    tx: &mut PgConnection,
    report: &Report,
    mut letter: Letter,
    copy: Option<&Address>,
    now: DateTime<Utc>,
) -> sqlx::Result<FeedbackOutcome> {
    let mut done = (FeedbackOutcome::OtherRecipient, None);
    let recipient = letter.recipient.clone().unwrap_or_default();
    for finding in report.findings.iter().filter(|finding| finding.is_about(&recipient, copy)) {
        let outcome = follow(&mut *tx, &mut letter, &finding.what, now).await?;
        if outcome > done.0 {
            done = (outcome, finding.what.detail());
        }
    }
    let written = Done { letter_id: &letter.letter_id, outcome: done.0.as_str(), detail: done.1 };
    store::add(tx, report, &written, now).await?;
    Ok(done.0)
}

impl Finding {
    /// Whether it is about the merchant. A letter comes back from the address that it was sent to. Complaints often hide who made them
    /// (RFC 6590), or come from where the merchant has his mail forwarded to: they are his, unless they are the copy's.
    fn is_about(&self, recipient: &str, copy: Option<&Address>) -> bool {
        let names = |wanted: &str| {
            self.addresses.iter().any(|address| address.eq_ignore_ascii_case(wanted))
        };
        match self.what {
            FeedbackEvent::Failed { .. } | FeedbackEvent::Transient => names(recipient),
            FeedbackEvent::Complaint { .. }
            | FeedbackEvent::NotSpam
            | FeedbackEvent::Unsubscribed => {
                names(recipient) || !copy.is_some_and(|copy| names(copy.expose()))
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

/// Does what follows for the letter, its address and its account.
async fn follow(
    tx: &mut PgConnection,
    letter: &mut Letter,
    what: &FeedbackEvent,
    now: DateTime<Utc>,
) -> sqlx::Result<FeedbackOutcome> {
    match what {
        FeedbackEvent::Transient => Ok(FeedbackOutcome::Transient),
        FeedbackEvent::NotSpam => Ok(FeedbackOutcome::NotSpam),
        FeedbackEvent::Failed { status, blame } => failed(tx, letter, status, *blame, now).await,
        FeedbackEvent::Complaint { kind } => {
            line(&mut *tx, letter, "letter.complained", Some(kind), now).await?;
            wants_no_more(tx, letter, Source::Complaint, now).await
        }
        FeedbackEvent::Unsubscribed => {
            line(&mut *tx, letter, "letter.unsubscribed", None, now).await?;
            wants_no_more(tx, letter, Source::Sender, now).await
        }
    }
}

async fn failed(
    tx: &mut PgConnection,
    letter: &mut Letter,
    status: &str,
    blame: Cause,
    now: DateTime<Utc>,
) -> sqlx::Result<FeedbackOutcome> {
    let outcome = match letter.state {
        State::Sent => {
            let reason = format!("status {status}");
            let bounced = Transition {
                from: State::Sent,
                to: State::Bounced,
                reason: Some(&reason),
                relay_reply: None,
            };
            transition::apply(&mut *tx, letter, &bounced, now).await?;
            tracing::warn!(letter.message_id = letter.message_id, status, "letter came back");
            letter.state = State::Bounced;
            FeedbackOutcome::Bounced
        }
        State::Bounced => return Ok(FeedbackOutcome::Duplicate),
        // Whether it was sent at all was in doubt, or it is sent once more: now this much is known.
        State::Waiting
        | State::Sending
        | State::Uncertain
        | State::Held
        | State::Rejected
        | State::Withdrawn
        | State::Suppressed => {
            line(&mut *tx, letter, "letter.came_back", Some(status), now).await?;
            FeedbackOutcome::Recorded
        }
    };
    if let (Cause::Address, Some(recipient)) = (blame, &letter.recipient) {
        let found =
            AddressFailure { address: AddressHash::of(recipient), reason: Reason::Bounce, status };
        suppression::record(tx, letter, &found, now).await?;
    }
    Ok(outcome)
}

async fn wants_no_more(
    tx: &mut PgConnection,
    letter: &Letter,
    source: Source,
    now: DateTime<Utc>,
) -> sqlx::Result<FeedbackOutcome> {
    let note = format!("about {}", letter.letter_id);
    let request =
        OptOutRequest { account_id: &letter.account_id, source, note: Some(&note), since: now };
    opt_out(tx, &request, now).await?;
    Ok(FeedbackOutcome::OptedOut)
}

async fn line(
    tx: &mut PgConnection,
    letter: &Letter,
    what: &str,
    note: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let entry = Entry { note, ..Entry::ours(&letter.offer_id, &letter.account_id, what, now) };
    timeline::add(tx, &entry, now).await
}
