//! Letters: one email about one offer to one recipient. Owns the row and its transitions.
//! [`crate::flow::email`] sends them, by [`crate::mail`].
//!
//! ```text
//! waiting ─▶ sending ─▶ sent                 the relay answered 2xx
//!    │          ├─▶ waiting                  4xx, or the connection died before the final dot
//!    │          ├─▶ rejected                 5xx: final; an operator must act
//!    │          └─▶ uncertain                connection or process died while the message was sent
//!    ├─▶ rejected                            5xx before the message was handed over
//!    ├─▶ withdrawn                           the offer is no longer open
//!    ├─▶ suppressed                          the account opted out
//!    └─▶ held                                an operator must act
//! uncertain ─▶ waiting | held                by `email.when_uncertain`, same Message-ID, in one
//!                                            transaction: `uncertain` is never stored
//! sent ─▶ bounced                            a bounce report arrived
//! ```
//!
//! Every change of state goes through [`transition`] and applies only if the letter is still in the
//! state that the caller saw. Except for `sending` (which the attempt's evidence records) and
//! repeated transport failures (which the job records), the timeline entry is part of the same
//! transaction. [`store`] has the SQL, `sets` that for many letters at once.
//!
//! | folder | owns |
//! |---|---|
//! | [`wording`] | templates, facts, disclaimers, approvals, samples |
//! | [`lint`] | the rules that a letter's wording must satisfy |
//! | [`reminders`] | which letters follow the first one, and when |
//! | [`evidence`] | the exact bytes of every attempt and the relay's reply |
//! | [`pauses`] | scopes in which an operator paused sending |
//! | [`deliveries`] | what Stripe was told, and its reply |
//! | [`erasure`] | erases the recipients and the content |
//! | [`export`] | an account's rows, for a data subject |
//! | [`reason`] | the values of `letters.reason` |
//! | [`operator`] | resend, release and withdraw on an operator's request |
//! | [`listing`] | letters as operators list and find them |
//! | [`stopped`] | what waits for an operator |

pub mod deliveries;
pub mod erasure;
pub mod evidence;
pub mod export;
mod kind;
pub mod lint;
pub mod listing;
pub mod operator;
pub mod pauses;
pub mod reason;
pub mod reminders;
mod sets;
mod state;
pub mod stopped;
pub mod store;
pub mod transition;
pub mod wording;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::offers::timeline::{self, Entry};
use crate::queue::{self, NewJob};
use crate::telemetry::traces;
use sets::Identified;

pub use kind::Kind;
pub use state::State;

pub(crate) const SEND_JOB: &str = "send_letter";

/// A letter to be opened.
#[derive(Clone, Copy, Debug)]
pub struct NewLetter<'a> {
    pub offer_id: &'a str,
    pub account_id: &'a str,
    /// The position in the offer's sequence; 0 is the first letter.
    pub sequence: i16,
    /// A preliminary kind: the final one is determined when the letter is sent.
    pub kind: Kind,
    /// The trace that its job continues; none for that of the caller.
    pub traceparent: Option<&'a str>,
}

/// Opens letters. Only this knows the domain of their Message-IDs.
#[derive(Clone, Debug)]
pub struct Opener {
    message_id_domain: String,
}

impl Opener {
    /// `message_id_domain` is the part of the Message-ID after the `@`.
    pub fn new(message_id_domain: &str) -> Self {
        Self { message_id_domain: message_id_domain.to_owned() }
    }

    /// Opens a letter, queues its job and records it in the timeline, in the caller's transaction.
    /// Does nothing if the offer already has a letter at this position.
    pub async fn open(
        &self,
        tx: &mut PgConnection,
        new_letter: &NewLetter<'_>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let opened = self.open_all(&mut *tx, std::slice::from_ref(new_letter), now).await?;
        if let [Some(letter_id)] = &opened[..] {
            timeline::add(tx, &opened_entry(new_letter, letter_id, now), now).await?;
        }
        Ok(())
    }

    /// Opens letters and queues their jobs, in the caller's transaction. Returns the id of each in
    /// turn, none if the offer already has a letter at this position. The caller records them in
    /// the timeline ([`opened_entry`]).
    pub async fn open_all(
        &self,
        tx: &mut PgConnection,
        new_letters: &[NewLetter<'_>],
        now: DateTime<Utc>,
    ) -> sqlx::Result<Vec<Option<String>>> {
        if new_letters.is_empty() {
            return Ok(Vec::new());
        }
        let identified: Vec<Identified<'_>> =
            new_letters.iter().map(|letter| self.identify(letter)).collect();
        let inserted = sets::insert_all(&mut *tx, &identified, now).await?;
        let opened = || identified.iter().filter(|new| inserted.contains(&new.letter_id));
        let jobs: Vec<NewJob<'_>> = opened()
            .map(|new| NewJob {
                kind: SEND_JOB,
                subject: &new.letter_id,
                // If capacity is short, first letters go before reminders.
                low_priority: new.letter.sequence > 0,
                due_at: now,
                traceparent: match new.letter.traceparent {
                    Some(traceparent) => Some(traceparent.to_owned()),
                    None => traces::traceparent(),
                },
            })
            .collect();
        queue::enqueue_all(tx, &jobs).await?;
        let ids = identified.into_iter().map(|new| new.letter_id);
        Ok(ids.map(|id| inserted.contains(&id).then_some(id)).collect())
    }

    fn identify<'a>(&self, letter: &'a NewLetter<'a>) -> Identified<'a> {
        // Version 7 sorts by time, so that new letters share index pages.
        let letter_id = format!("letter_{}", Uuid::now_v7().simple());
        // Fixed before the first attempt: mail programs recognize a repeated letter by it.
        let message_id = format!("{letter_id}@{}", self.message_id_domain);
        Identified { letter_id, message_id, letter }
    }
}

/// The timeline's entry of a letter that was opened.
pub fn opened_entry<'a>(
    letter: &NewLetter<'a>,
    letter_id: &'a str,
    now: DateTime<Utc>,
) -> Entry<'a> {
    Entry::ours(letter.offer_id, letter.account_id, "letter.opened", now).with_note(letter_id)
}
