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
//! transaction. [`store`] has the SQL.
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
mod state;
pub mod stopped;
pub mod store;
pub mod transition;
pub mod wording;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::offers::timeline::{self, Entry};
use crate::queue;

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

    /// Opens a letter and queues its job, in the caller's transaction. Does nothing if the offer
    /// already has a letter at this position.
    pub async fn open(
        &self,
        tx: &mut PgConnection,
        new_letter: &NewLetter<'_>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        // Version 7 sorts by time, so that new letters share index pages.
        let letter_id = format!("letter_{}", Uuid::now_v7().simple());
        // Fixed before the first attempt: mail programs recognize a repeated letter by it.
        let message_id = format!("{letter_id}@{}", self.message_id_domain);
        if !store::insert(&mut *tx, &letter_id, &message_id, new_letter, now).await? {
            return Ok(());
        }
        let entry = Entry::ours(new_letter.offer_id, new_letter.account_id, "letter.opened", now)
            .with_note(&letter_id);
        timeline::add(&mut *tx, &entry, now).await?;
        // If capacity is short, first letters go before reminders.
        if new_letter.sequence == 0 {
            queue::enqueue(tx, SEND_JOB, &letter_id, now).await?;
        } else {
            queue::enqueue_low_priority(tx, SEND_JOB, &letter_id, now).await?;
        }
        Ok(())
    }
}
