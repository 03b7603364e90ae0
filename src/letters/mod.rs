//! Letters: one email about one offer to one recipient. The row and its transitions.
//!
//! ```text
//! waiting ─▶ sending ─▶ sent                 the relay answered 2xx
//!    │          ├─▶ waiting                  4xx, or the connection died before the final dot
//!    │          ├─▶ rejected                 5xx: final; a person must act
//!    │          └─▶ uncertain                connection or process died after the hand-over began
//!    ├─▶ rejected                            5xx before the relay wanted the message
//!    ├─▶ withdrawn                           the offer is no longer open
//!    ├─▶ suppressed                          the account opted out
//!    └─▶ held                                a person must act
//! uncertain ─▶ waiting | held                by `email.when_uncertain`; the Message-ID never changes
//! sent ─▶ bounced                            a bounce report came back
//! ```
//!
//! Every change of a letter's state goes through [`transition`]: the state and its timeline entry
//! change together, and only from the state that the caller saw. [`store`] has the SQL.
//!
//! | folder | owns |
//! |---|---|
//! | [`wording`] | templates, facts, disclaimers, approvals, samples |
//! | [`lint`] | the rules that a wording must keep |
//! | [`reminders`] | which letters follow the first, and when |
//! | [`evidence`] | what was handed to the relay, byte for byte, and its answer |
//! | [`reason`] | why a letter is where it is |
//! | [`operator`] | what a person can do to a letter |

pub mod evidence;
mod kind;
pub mod lint;
pub mod operator;
pub mod reason;
pub mod reminders;
mod state;
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

/// The kind of the jobs that send letters.
pub(crate) const SEND_JOB: &str = "send_letter";

/// What it takes to open a letter.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The offer that it is about.
    pub offer_id: &'a str,
    /// The connected account that it goes to.
    pub account_id: &'a str,
    /// Its place in the offer's schedule: 0 for the first word.
    pub sequence: i16,
    /// What it is for, as far as that is known now.
    pub kind: Kind,
    /// What follows the `@` in its Message-ID.
    pub message_id_domain: &'a str,
}

/// Opens the letter about an offer and queues its sending, in the caller's transaction. Does nothing where the offer has
/// its letter at this sequence.
pub async fn open(
    tx: &mut PgConnection,
    opening: &Opening<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // Version 7 sorts by time, so letters that are made together lie together in the index.
    let letter_id = format!("letter_{}", Uuid::now_v7().simple());
    if store::open(&mut *tx, &letter_id, opening, now).await? == store::Opened::Inserted {
        let entry = Entry::ours(opening.offer_id, opening.account_id, "letter.opened", now)
            .with_note(&letter_id);
        timeline::add(&mut *tx, &entry, now).await?;
        // A reminder gives way to first letters where there is not room for all.
        if opening.sequence == 0 {
            queue::enqueue(tx, SEND_JOB, &letter_id, now).await?;
        } else {
            queue::enqueue_low_priority(tx, SEND_JOB, &letter_id, now).await?;
        }
    }
    Ok(())
}

/// Withdraws what an account has not been sent yet, in the caller's transaction, whatever became of its offers.
pub async fn withdraw_for_account(
    tx: &mut PgConnection,
    account_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for letter in store::find_unsent_of_account(&mut *tx, account_id).await? {
        transition::cancel(&mut *tx, &letter, State::Withdrawn, reason::ERASED, now).await?;
    }
    Ok(())
}
