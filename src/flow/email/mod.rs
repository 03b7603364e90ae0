//! The stage that sends: decide, find the recipient, write, hand over to the relay, record.
//!
//! What a letter is and how its state changes is in [`crate::letters`], how mail travels in
//! [`crate::mail`], who may be written to in [`crate::consent`].
//!
//! | file | owns |
//! |---|---|
//! | `send` | the job, in the order of its commits |
//! | `decide` | whether a letter goes out, and with which words |
//! | `recipient` | the address that a letter goes to |
//! | `outcome` | what follows from an attempt, for the letter and the job |

mod decide;
mod outcome;
mod recipient;
mod send;
mod to_delivered;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use url::Url;

use crate::consent::opt_outs;
use crate::letters::reminders::Schedule;
use crate::letters::{State, store, transition};
use crate::mail::sending_rate::SendingLimits;
use crate::mail::{self, RelayUrl, Timeouts};
use crate::stripe::OfferStatus;

pub use send::SendLetter;

/// What letters need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who takes the letters.
    pub relay: RelayUrl,
    /// How long to wait for the relay.
    pub timeouts: Timeouts,
    /// Sender, recipients of copies, and signature.
    pub sender: mail::Sender,
    /// The platform's postal address, for the footer (15 U.S.C. § 7704(a)(5)).
    pub postal_address: String,
    /// The platform's name for its Capital program.
    pub program_name: String,
    /// The stable page that the letter links to.
    pub dashboard_url: Url,
    /// How fast letters may go out.
    pub limits: SendingLimits,
    /// What becomes of a letter that may or may not have been sent.
    pub when_uncertain: WhenUncertain,
    /// Makes the link by which a merchant stops the letters; none: by mail alone.
    pub links: Option<opt_outs::UnsubscribeLinks>,
    /// Where the operator's templates are.
    pub templates_dir: Option<PathBuf>,
    /// Where the operator's disclaimers are.
    pub disclaimers_dir: Option<PathBuf>,
    /// Under which key an account's metadata name its language.
    pub locale_metadata_key: String,
    /// Which letters follow the first, and when.
    pub schedule: Schedule,
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
        if is_delivered
            && (letter.sequence > 0 || to_delivered::is_told(&mut *tx, offer_id).await?)
        {
            continue;
        }
        transition::cancel(&mut *tx, &letter, State::Withdrawn, &format!("offer_{status}"), now)
            .await?;
    }
    Ok(())
}
