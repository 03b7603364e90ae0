//! What waits for an operator: one list for the command line, the console, `doctor` and the
//! metrics. Each module finds it in its own tables; this one knows the kinds and says what
//! resolves them.
//!
//! An entry disappears when its cause does, or when an operator dismisses it
//! ([`super::acts::dismiss`]); a dismissed one returns if its row changes again.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use strum::VariantArray;

use super::actions::dismissed;
use crate::database::{Dismissed, Pool};
use crate::financing::{self, summary};
use crate::flow::inbox;
use crate::letters::reason::{UNCERTAIN, remedy};
use crate::letters::stopped::{self, StoppedLetter};
use crate::letters::{State, deliveries, pauses};
use crate::maintenance::reconcile;
use crate::{offers, queue};

/// The name of a dismissal in the log of acts.
pub const DISMISS: &str = "attention.dismiss";

/// Letters that failed longer ago are no longer listed: their offers have ended.
const FAILED_FOR: TimeDelta = TimeDelta::days(90);
/// Failed letters that are looked at. Their number is that of bounces, a percent of all letters.
const MAX_FAILED: i64 = 10_000;
/// Reconciliation normally completes every `reconcile.every`, 15 minutes by default.
const RECONCILED_WITHIN: TimeDelta = TimeDelta::hours(1);
/// The window in which missed events count. A working endpoint clears the entry within it.
const MISSED_WITHIN: TimeDelta = TimeDelta::hours(1);

/// What waits. The names are labels of metrics and part of the JSON.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    LetterHeld,
    LetterUncertain,
    LetterRejected,
    LetterBounced,
    MarkRefused,
    JobDead,
    EventUnreadable,
    BodyMalformed,
    EndpointMissed,
    ReconciliationIncomplete,
    LedgerDiffers,
    TransactionsUnreadable,
    Paused,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What the entries are, as a noun for their number.
    pub fn noun(self, count: i64) -> &'static str {
        let (one, many) = match self {
            Self::LetterHeld => ("email is held", "emails are held"),
            Self::LetterUncertain => ("email may have been sent", "emails may have been sent"),
            Self::LetterRejected => ("email was rejected", "emails were rejected"),
            Self::LetterBounced => ("email bounced", "emails bounced"),
            Self::MarkRefused => (
                "offer could not be marked as delivered",
                "offers could not be marked as delivered",
            ),
            Self::JobDead => ("job is dead", "jobs are dead"),
            Self::EventUnreadable => ("event could not be read", "events could not be read"),
            Self::BodyMalformed => {
                ("signed request was not an event", "signed requests were not events")
            }
            Self::EndpointMissed => {
                ("event did not arrive by webhook", "events did not arrive by webhook")
            }
            Self::ReconciliationIncomplete => {
                ("reconciliation does not complete", "reconciliations do not complete")
            }
            Self::LedgerDiffers => {
                ("account differs from Stripe's summary", "accounts differ from Stripe's summary")
            }
            Self::TransactionsUnreadable => {
                ("account has unreadable transactions", "accounts have unreadable transactions")
            }
            Self::Paused => ("pause is in force", "pauses are in force"),
        };
        if count == 1 { one } else { many }
    }

    /// Whether an operator can take an entry off the list, although its cause stays.
    pub fn can_dismiss(self) -> bool {
        match self {
            Self::LetterHeld
            | Self::LetterUncertain
            | Self::LetterRejected
            | Self::LetterBounced
            | Self::MarkRefused
            | Self::JobDead
            | Self::EventUnreadable
            | Self::BodyMalformed
            | Self::LedgerDiffers => true,
            Self::EndpointMissed
            | Self::ReconciliationIncomplete
            | Self::TransactionsUnreadable
            | Self::Paused => false,
        }
    }

    /// Whether [`super::acts::dismiss`] takes subjects of this type.
    pub(super) fn can_dismiss_type(subject_type: &str) -> bool {
        Self::VARIANTS.iter().any(|kind| kind.can_dismiss() && kind.subject_type() == subject_type)
    }

    /// The type of the ids, as in the subjects of the log of acts.
    fn subject_type(self) -> &'static str {
        match self {
            Self::LetterHeld
            | Self::LetterUncertain
            | Self::LetterRejected
            | Self::LetterBounced => "letter",
            Self::MarkRefused => "offer",
            Self::JobDead => "job",
            Self::EventUnreadable => "event",
            Self::BodyMalformed => "body",
            Self::EndpointMissed | Self::ReconciliationIncomplete => "reconciliation",
            Self::LedgerDiffers | Self::TransactionsUnreadable => "account",
            Self::Paused => "pause",
        }
    }
}

/// Entries of one kind with one reason, and so with one remedy.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Group {
    pub kind: Kind,
    /// Why: as in `letters.reason`, or the kind of a dead job. Empty for other kinds.
    pub reason: String,
    pub count: i64,
    /// Since when the first of them waits.
    pub since: DateTime<Utc>,
    /// What resolves them.
    pub remedy: String,
    /// The entries that wait longest, as many as were asked for.
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Item {
    /// What an act names: `letter:letter_…`, `job:12`, …
    pub subject: String,
    pub offer_id: Option<String>,
    pub account_id: Option<String>,
    pub since: DateTime<Utc>,
    /// Explains this entry: an error, a note.
    pub note: Option<String>,
}

/// Everything that waits for an operator, with at most `items` entries of each group (at least 1).
pub async fn read(db: &Pool, now: DateTime<Utc>, items: i64) -> sqlx::Result<Vec<Group>> {
    let mut dismissed = dismissed(db, now).await?;
    let mut of = |kind: Kind| dismissed.remove(kind.subject_type()).unwrap_or_default();
    let mut groups = letters(db, &of(Kind::LetterHeld), now, items).await?;
    let refused = deliveries::list_refused(db, &of(Kind::MarkRefused), items).await?;
    groups.extend(refused.first().map(|first| Group {
        items: refused.iter().map(refused_item).collect(),
        ..group(Kind::MarkRefused, "", first.total, first.requested_at)
    }));
    let dead = queue::list_dead(db, &of(Kind::JobDead), items).await?;
    groups.extend(dead.chunk_by(|a, b| a.kind == b.kind).map(|of_kind| Group {
        items: of_kind.iter().map(dead_item).collect(),
        ..group(Kind::JobDead, &of_kind[0].kind, of_kind[0].of_kind, of_kind[0].finished_at)
    }));
    let events = inbox::store::list_unreadable(db, &of(Kind::EventUnreadable), items).await?;
    groups.extend(unreadable(Kind::EventUnreadable, &events));
    let bodies = inbox::store::list_malformed(db, &of(Kind::BodyMalformed), items).await?;
    groups.extend(unreadable(Kind::BodyMalformed, &bodies));
    groups.extend(reconciliation(db, now).await?);
    groups.extend(ledgers(db, &of(Kind::LedgerDiffers), now, items).await?);
    groups.extend(paused(&pauses::in_force(db).await?));
    Ok(groups)
}

/// One line for a person: `3 emails are held (no_recipient)`.
pub fn sentence(group: &Group) -> String {
    let reason =
        if group.reason.is_empty() { String::new() } else { format!(" ({})", group.reason) };
    format!("{} {}{reason}", group.count, group.kind.noun(group.count))
}

fn group(kind: Kind, reason: &str, count: i64, since: DateTime<Utc>) -> Group {
    Group {
        kind,
        reason: reason.to_owned(),
        count,
        since,
        remedy: remedy_of(kind, reason).to_owned(),
        items: Vec::new(),
    }
}

/// What resolves entries of this kind and reason, in the terms of the command line.
pub fn remedy_of(kind: Kind, reason: &str) -> &'static str {
    match kind {
        Kind::LetterHeld | Kind::LetterUncertain => remedy(reason),
        Kind::LetterRejected => {
            "read the relay's reply (`offer show`); set another address with `contact set`, \
             then `offer resend`"
        }
        Kind::LetterBounced => {
            "set another address with `contact set`, or allow this one with `address allow`; then \
             `offer resend`"
        }
        Kind::MarkRefused => {
            "read Stripe's answer (`offer show`), remove its cause, then `job retry`"
        }
        Kind::JobDead => "read the error, remove its cause, then `job retry ID`",
        Kind::EventUnreadable => {
            "update the service, then `event replay ID`; `event show ID` has the event"
        }
        Kind::BodyMalformed => {
            "a proxy may change requests, or another program uses the secret: compare with the \
             event at Stripe, then dismiss it"
        }
        Kind::EndpointMissed => {
            "the webhook endpoint is disabled, wrong or unreachable: `endpoint check`. Nothing is \
             lost: reconciliation reads the events"
        }
        Kind::ReconciliationIncomplete => {
            "read the error with `reconcile`; the key and its permissions are in `doctor`"
        }
        Kind::LedgerDiffers => {
            "`account show` has both sums; ask Stripe about what remains after a day"
        }
        Kind::TransactionsUnreadable => {
            "the log says why an entry could not be read; an update usually helps"
        }
        Kind::Paused => "remove the cause of the pause, then `resume` with the same scope",
    }
}

async fn letters(
    db: &Pool,
    dismissed: &Dismissed,
    now: DateTime<Utc>,
    items: i64,
) -> sqlx::Result<Vec<Group>> {
    let mut groups = Vec::new();
    for held in stopped::count_held(db, dismissed).await? {
        let is_uncertain = held.reason == UNCERTAIN;
        let kind = if is_uncertain { Kind::LetterUncertain } else { Kind::LetterHeld };
        let letters = stopped::list_held(db, &held.reason, dismissed, items).await?;
        groups.push(Group {
            items: letters.iter().map(letter_item).collect(),
            ..group(kind, &held.reason, held.count, held.oldest)
        });
    }
    let failed = stopped::list_failed(db, now - FAILED_FOR, dismissed, MAX_FAILED).await?;
    // A merchant who can no longer apply needs no email.
    let offer_ids: Vec<String> = failed.iter().map(|letter| letter.offer_id.clone()).collect();
    let open = offers::store::open_among(db, &offer_ids, now).await?;
    let mut by_reason: BTreeMap<(Kind, String), Vec<&StoppedLetter>> = BTreeMap::new();
    for letter in failed.iter().filter(|letter| open.contains(&letter.offer_id)) {
        let is_bounced = letter.state == State::Bounced;
        let kind = if is_bounced { Kind::LetterBounced } else { Kind::LetterRejected };
        let reason = letter.reason.clone().unwrap_or_default();
        by_reason.entry((kind, reason)).or_default().push(letter);
    }
    for ((kind, reason), mut letters) in by_reason {
        letters.sort_by_key(|letter| letter.changed_at);
        let count = i64::try_from(letters.len()).unwrap_or(i64::MAX);
        let shown = usize::try_from(items).unwrap_or(usize::MAX);
        groups.push(Group {
            items: letters.iter().take(shown).map(|letter| letter_item(letter)).collect(),
            ..group(kind, &reason, count, letters[0].changed_at)
        });
    }
    Ok(groups)
}

fn letter_item(letter: &StoppedLetter) -> Item {
    Item {
        subject: format!("letter:{}", letter.letter_id),
        offer_id: Some(letter.offer_id.clone()),
        account_id: Some(letter.account_id.clone()),
        since: letter.changed_at,
        note: None,
    }
}

fn refused_item(refused: &deliveries::RefusedDelivery) -> Item {
    Item {
        subject: format!("offer:{}", refused.offer_id),
        offer_id: Some(refused.offer_id.clone()),
        account_id: None,
        since: refused.requested_at,
        note: refused.note.clone(),
    }
}

fn dead_item(job: &queue::DeadJob) -> Item {
    let error = job.last_error.as_deref().unwrap_or_default();
    Item {
        subject: format!("job:{}", job.job_id),
        offer_id: job.subject.starts_with("financingoffer_").then(|| job.subject.clone()),
        account_id: job.subject.starts_with("acct_").then(|| job.subject.clone()),
        since: job.finished_at,
        note: Some(format!("{}: {error}", job.subject)),
    }
}

fn unreadable(kind: Kind, found: &[inbox::store::Unreadable]) -> Option<Group> {
    let first = found.first()?;
    let item = |of: &inbox::store::Unreadable| Item {
        subject: format!("{}:{}", kind.subject_type(), of.id),
        offer_id: None,
        account_id: of.account_id.clone(),
        since: of.received_at,
        note: of.note.clone(),
    };
    let items = found.iter().map(item).collect();
    Some(Group { items, ..group(kind, "", first.total, first.received_at) })
}

/// A reconciliation that does not complete, and events that only it found.
async fn reconciliation(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<Vec<Group>> {
    let mut groups = Vec::new();
    let item = |since, note| {
        let subject = "reconciliation:all".to_owned();
        vec![Item { subject, offer_id: None, account_id: None, since, note }]
    };
    let missed = reconcile::store::events_missed(db, now - MISSED_WITHIN).await?;
    groups.extend(missed.map(|(count, last)| Group {
        items: item(last, None),
        ..group(Kind::EndpointMissed, "", count, last)
    }));
    let late_before = now - RECONCILED_WITHIN;
    let complete = reconcile::store::last_complete(db, now).await?;
    if complete.is_some_and(|at| at >= late_before) {
        return Ok(groups);
    }
    // Without any run, no worker has run yet: nothing waits.
    let oldest = reconcile::store::oldest_start(db).await?.filter(|start| *start < late_before);
    let newest = reconcile::store::newest(db, now).await?;
    if let (Some(oldest), Some(newest)) = (oldest, newest) {
        let since = complete.unwrap_or(oldest);
        groups.push(Group {
            items: item(since, newest.error),
            ..group(Kind::ReconciliationIncomplete, "", 1, since)
        });
    }
    Ok(groups)
}

/// Pauses in force: what they stop leaves only when a person resumes it.
fn paused(pauses: &[pauses::Pause]) -> Option<Group> {
    let first = pauses.iter().map(|pause| pause.paused_at).min()?;
    let item = |pause: &pauses::Pause| Item {
        subject: format!("pause:{}", pause.pause_id),
        offer_id: None,
        account_id: None,
        since: pause.paused_at,
        note: Some(format!("{pause}, by {}: {}", pause.paused_by, pause.reason)),
    };
    let count = i64::try_from(pauses.len()).unwrap_or(i64::MAX);
    let items = pauses.iter().map(item).collect();
    Some(Group { items, ..group(Kind::Paused, "", count, first) })
}

async fn ledgers(
    db: &Pool,
    dismissed: &Dismissed,
    now: DateTime<Utc>,
    items: i64,
) -> sqlx::Result<Vec<Group>> {
    let item = |account: &str, since, note| Item {
        subject: format!("account:{account}"),
        offer_id: None,
        account_id: Some(account.to_owned()),
        since,
        note,
    };
    let before = now - summary::MAY_DIFFER_FOR;
    let differing = summary::store::list_differing(db, before, dismissed, items).await?;
    let mut groups: Vec<Group> = Vec::new();
    groups.extend(differing.first().map(|first| Group {
        items: differing.iter().map(|of| item(&of.account_id, of.since, None)).collect(),
        ..group(Kind::LedgerDiffers, "", first.total, first.since)
    }));
    let unreadable = financing::list_unreadable(db, items).await?;
    groups.extend(unreadable.first().map(|first| {
        let note = |entries: i32| Some(format!("{entries} entries of its list"));
        let of = |of: &financing::UnreadableList| {
            item(&of.account_id, of.read_until, note(of.unreadable))
        };
        Group {
            items: unreadable.iter().map(of).collect(),
            ..group(Kind::TransactionsUnreadable, "", first.total, first.read_until)
        }
    }));
    Ok(groups)
}
