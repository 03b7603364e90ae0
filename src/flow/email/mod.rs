//! Letters: one email about one offer to one recipient, from the intent to the relay's answer.
//!
//! ```text
//! waiting ─▶ sending ─▶ sent                 the relay answered 2xx
//!    │          ├─▶ waiting                  4xx, or refused before the message was handed over: later again
//!    │          ├─▶ rejected                 5xx: final; a person is told
//!    │          └─▶ uncertain                the line or the process died after the handing over began
//!    ├─▶ withdrawn                           the offer is no longer open
//!    └─▶ held                                a person must act
//! uncertain ─▶ waiting | held                by `email.when_uncertain`; the Message-ID never changes
//! ```
//!
//! `sending`, with everything that the letter says, is committed before the relay sees its first byte. Whoever finds a
//! letter in `sending` with a dead lease therefore knows that it may have been sent, and what was in it.
//!
//! | file | owns |
//! |---|---|
//! | `address` | addresses that are safe to put into a header, and print masked |
//! | `recipient` | whom to write to |
//! | `letter`, `write` | what a letter is written from, and its writing |
//! | `mime` | the message as it goes over the wire |
//! | `relay`, `relay_url` | handing it over |
//! | `send` | the job that does all of it |
//! | `settle` | what becomes of a letter after an attempt |
//! | `store` | the SQL |

mod address;
mod letter;
mod mime;
mod recipient;
mod relay;
mod relay_url;
mod send;
mod settle;
pub mod store;
mod to_delivered;
pub mod write;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

use crate::queue;
use crate::timeline::{self, Entry};

pub use address::{Address, AddressError, Mailbox};
pub use letter::{Facts, FinancingType};
pub use relay::{Relay, SendError};
pub use relay_url::{RelayUrl, RelayUrlError};
pub use send::SendLetter;

/// The kind of the jobs that send letters.
pub(crate) const JOB: &str = "send_letter";

/// The only kind of letter so far: the first word to a merchant about an offer.
const KIND: &str = "offer";

/// What letters need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who takes the letters.
    pub relay: RelayUrl,
    /// The longest that one handing over may take, from connecting to the relay's last answer.
    pub relay_timeout: Duration,
    /// The platform's address.
    pub from: Mailbox,
    /// Where answers go, also those that say "unsubscribe".
    pub reply_to: Mailbox,
    /// Gets a blind copy of each letter. Stripe demands one (<https://docs.stripe.com/capital/api-integration>).
    pub bcc: Option<Address>,
    /// The platform's postal address, for the footer (15 U.S.C. § 7704(a)(5)).
    pub postal_address: String,
    /// The platform's name for its Capital program.
    pub program_name: String,
    /// The stable page that the letter links to.
    pub dashboard_url: Url,
    /// What becomes of a letter that may or may not have been sent.
    pub when_uncertain: WhenUncertain,
    /// May a letter go to the public support address where no other is known?
    pub allow_support_address: bool,
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
    /// What follows the `@` in its Message-ID.
    pub message_id_domain: &'a str,
}

/// Opens the letter about an offer and queues its sending, in the caller's transaction. Does nothing where the offer has
/// its letter.
pub async fn open(tx: &mut PgConnection, opening: &Opening<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    // Version 7 sorts by time, so letters that are made together lie together in the index.
    let letter_id = format!("letter_{}", Uuid::now_v7().simple());
    if store::open(&mut *tx, &letter_id, KIND, opening, now).await? == store::Opened::First {
        let entry =
            Entry::ours(opening.offer_id, opening.account_id, "letter.opened", now).noting(&letter_id);
        timeline::add(&mut *tx, &entry, now).await?;
        queue::enqueue(tx, JOB, &letter_id, now).await?;
    }
    Ok(())
}
