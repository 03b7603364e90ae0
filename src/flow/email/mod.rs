//! Letters: one email about one offer to one recipient, from the intent to the relay's answer.
//!
//! ```text
//! waiting ─▶ sending ─▶ sent                 the relay answered 2xx
//!    │          ├─▶ waiting                  4xx, or the line died before the final dot: later again
//!    │          ├─▶ rejected                 5xx: final; a person is told
//!    │          └─▶ uncertain                the line or the process died after the handing over began
//!    ├─▶ rejected                            5xx before the relay wanted the message
//!    ├─▶ withdrawn                           the offer is no longer open
//!    ├─▶ suppressed                          the account does not want such letters
//!    └─▶ held                                a person must act
//! uncertain ─▶ waiting | held                by `email.when_uncertain`; the Message-ID never changes
//! sent ─▶ bounced                            a report says that it came back
//! ```
//!
//! `sending`, with everything that the letter says, is committed when the relay waits for the message and has not seen its first
//! byte. Whoever finds a letter in `sending` with a dead lease therefore knows that it may have been sent, and what was in it.
//!
//! | file | owns |
//! |---|---|
//! | `address` | addresses that are safe to put into a header, and print masked |
//! | `recipient` | whom to write to |
//! | `contact` | the address that the platform says, before all others |
//! | `copy` | which words may go out: disclaimers and approvals |
//! | `kind`, `letter`, `write` | what a letter is for, what it is written from, and its writing |
//! | `lint` | what is wrong with a letter's words |
//! | `mime`, `dkim` | the message as it goes over the wire, and its signature |
//! | `relay`, `relay_url`, `refusal` | handing it over, and what a refusal means |
//! | `smtp` | the SMTP client: commands, replies, TLS |
//! | `mask` | relay replies without recipient addresses |
//! | `limits`, `lanes` | how fast letters go out, to the relay and to each receiving domain |
//! | `opt_out`, `by_hand` | who wants no letters, and what a person decides |
//! | `return_path`, `report` | where letters come back to, and what is told of them |
//! | `refused` | addresses that no letter can go to |
//! | `cadence`, `remind` | when an offer is reminded of, and the job that opens such letters |
//! | `lint`, `collection` | what the rules say of a wording, and every letter that there is, written to nobody |
//! | `decide` | whether a letter goes out, and with which words |
//! | `send` | the job that does all of it |
//! | `evidence` | the proof of what was handed over |
//! | `moves` | a change of state, with its line in the timeline |
//! | `settle` | what becomes of a letter after an attempt |
//! | `store` | the SQL |

mod address;
mod by_hand;
mod cadence;
pub mod collection;
pub mod contact;
pub mod copy;
mod decide;
mod dkim;
pub mod evidence;
mod kind;
mod lanes;
mod letter;
pub mod limits;
pub mod lint;
mod mask;
mod mime;
mod moves;
pub mod opt_out;
mod recipient;
mod refusal;
pub mod refused;
mod relay;
mod relay_url;
mod remind;
pub mod report;
mod return_path;
mod send;
mod settle;
pub mod smtp;
mod state;
pub mod store;
mod to_delivered;
pub mod write;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

use crate::queue;
use crate::stripe::OfferStatus;
use crate::timeline::{self, Entry};

pub use address::{Address, AddressError, Mailbox};
pub use by_hand::{resend, withdraw_by_hand};
pub use cadence::{Cadence, Hours, Weekdays};
pub use dkim::{Algorithm, Dkim, DkimError};
pub use kind::Kind;
pub use lanes::Lanes;
pub use letter::{Facts, FinancingType};
pub use limits::{Gate, Limits, WarmUp};
pub use moves::retry_given_up;
pub use opt_out::{OptedOut, opt_out};
pub use refusal::SendError;
pub use relay::Relay;
pub use relay_url::{RelayUrl, RelayUrlError, is_loopback};
pub use remind::Remind;
pub use report::Report;
pub use return_path::ReturnPath;
pub use send::SendLetter;
use store::State;

/// The kind of the jobs that send letters.
pub(crate) const JOB: &str = "send_letter";

/// What letters need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who takes the letters.
    pub relay: RelayUrl,
    /// How long to wait for the relay.
    pub timeouts: Timeouts,
    /// The platform's address.
    pub from: Mailbox,
    /// Where answers go, also those that say "unsubscribe".
    pub reply_to: Mailbox,
    /// Where letters go back to that cannot be delivered, each to an address of its own; none: to `from`.
    pub return_path: Option<ReturnPath>,
    /// Gets a blind copy of each letter. Stripe demands one (<https://docs.stripe.com/capital/api-integration>).
    pub bcc: Option<Address>,
    /// The platform's postal address, for the footer (15 U.S.C. § 7704(a)(5)).
    pub postal_address: String,
    /// The platform's name for its Capital program.
    pub program_name: String,
    /// The stable page that the letter links to.
    pub dashboard_url: Url,
    /// Signs the letters; none: the relay does.
    pub dkim: Option<Dkim>,
    /// How fast letters may go out.
    pub limits: Limits,
    /// What becomes of a letter that may or may not have been sent.
    pub when_uncertain: WhenUncertain,
    /// Makes the link by which a merchant stops the letters; none: by mail alone.
    pub links: Option<opt_out::Links>,
    /// Where the operator's templates are.
    pub templates_dir: Option<PathBuf>,
    /// Where the operator's disclaimers are.
    pub disclaimers_dir: Option<PathBuf>,
    /// Under which key an account's metadata name its language.
    pub locale_metadata_key: String,
    /// Which letters follow the first, and when.
    pub cadence: Cadence,
    /// May a letter go to the public support address where no other is known?
    pub allow_support_address: bool,
}

/// How long to wait for the relay.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From connecting to the relay's 354 to `DATA`.
    pub command: Duration,
    /// From the first byte of the message to the answer to its end. Who waits too short a time for that makes duplicates
    /// (RFC 5321 section 4.5.3.2.6 wants ten minutes).
    pub answer: Duration,
}

/// What becomes of a letter that may or may not have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenUncertain {
    /// Send it again, with the same Message-ID: rather twice than never.
    Resend,
    /// Hold it for a person: rather late than twice.
    Hold,
}

impl std::str::FromStr for WhenUncertain {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match given {
            "resend" => Ok(Self::Resend),
            "hold" => Ok(Self::Hold),
            _ => Err("say `resend` or `hold`"),
        }
    }
}

/// What it takes to open a letter.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The offer that it is about.
    pub offer_id: &'a str,
    /// The connected account that it goes to.
    pub account_id: &'a str,
    /// Its place in the offer's cadence: 0 for the first word.
    pub step: i16,
    /// What it is for, as far as that is known now.
    pub kind: Kind,
    /// What follows the `@` in its Message-ID.
    pub message_id_domain: &'a str,
}

/// Opens the letter about an offer and queues its sending, in the caller's transaction. Does nothing where the offer has
/// its letter at this step.
pub async fn open(
    tx: &mut PgConnection,
    opening: &Opening<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // Version 7 sorts by time, so letters that are made together lie together in the index.
    let letter_id = format!("letter_{}", Uuid::now_v7().simple());
    if store::open(&mut *tx, &letter_id, opening, now).await? == store::Opened::First {
        let entry = Entry::ours(opening.offer_id, opening.account_id, "letter.opened", now)
            .noting(&letter_id);
        timeline::add(&mut *tx, &entry, now).await?;
        // A reminder gives way to first letters where there is not room for all.
        if opening.step == 0 {
            queue::enqueue(tx, JOB, &letter_id, now).await?;
        } else {
            queue::enqueue_giving_way(tx, JOB, &letter_id, now).await?;
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
        moves::stop(&mut *tx, &letter, State::Withdrawn, "erased", now).await?;
    }
    Ok(())
}

/// Withdraws what an offer's merchant has not been sent yet, in the caller's transaction: the offer is no longer open. A letter
/// that is being handed over goes on its way; what becomes of it is in the timeline.
pub async fn withdraw(
    tx: &mut PgConnection,
    offer_id: &str,
    status: &OfferStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for letter in store::find_unsent(&mut *tx, offer_id).await? {
        // Whoever was told of an offer may still be reminded of it, and be sent the first letter again that came back.
        let is_delivered = *status == OfferStatus::Delivered;
        if is_delivered && (letter.step > 0 || to_delivered::is_told(&mut *tx, offer_id).await?) {
            continue;
        }
        moves::stop(&mut *tx, &letter, State::Withdrawn, &format!("offer_{status}"), now).await?;
    }
    Ok(())
}
