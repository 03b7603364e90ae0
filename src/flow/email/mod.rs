//! The sending stage: decide, find the recipient, write the letter, hand it to the relay, record.
//! The letters' rows, states and wording are in [`crate::letters`], the mail transport in
//! [`crate::mail`], suppressions and opt-outs in [`crate::consent`].
//!
//! A letter leaves in one place: `LetterCommits::begin`.
//!
//! | file | owns |
//! |---|---|
//! | `send` | the job, in the order of its commits |
//! | `decide` | whether a letter goes out, and its content |
//! | `recipient` | the address of a letter |
//! | `commits` | the commits of a letter that leaves, shared with others |
//! | `expected` | who would get a letter now, for an operator |
//! | `outcome` | the effect of an attempt on the letter and the job |
//! | `metrics` | counts of what became of letters |
//! | `withdraw` | the letters of offers that are no longer open |
//! | `to_delivered` | the arrow to the next stage |

mod commits;
mod decide;
mod expected;
mod metrics;
mod outcome;
mod recipient;
mod send;
mod to_delivered;
mod withdraw;

use std::path::PathBuf;

use url::Url;

use crate::brand::Brand;
use crate::consent::opt_outs;
use crate::letters::reminders::Schedule;
use crate::letters::wording::ContactSettings;
use crate::mail;
use crate::mail::sending_rate::SendingLimits;
use crate::stripe::AccountId;

pub use commits::LetterCommits;
pub use expected::{ExpectedRecipient, ExpectedRecipients, OfferAwaitingLetter};
pub use metrics::LetterMetrics;
pub use recipient::{NoRecipient, Recipient, RecipientError};
pub use send::SendLetter;
pub use withdraw::{PassedOffer, WithdrawnLetter, withdraw};

/// The kind of the jobs that send letters.
pub(crate) const JOB: &str = crate::letters::SEND_JOB;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Sender, blind copies, and DKIM signature.
    pub sender: mail::Sender,
    /// Whom merchants ask, and where they complain.
    pub contacts: ContactSettings,
    /// The platform's, for the footer (15 U.S.C. § 7704(a)(5)).
    pub postal_address: String,
    /// Boxed, because futures hold the settings.
    pub brand: Box<Brand>,
    pub limits: SendingLimits,
    pub when_uncertain: WhenUncertain,
    /// Signs unsubscribe links; `None` if merchants can unsubscribe by email only.
    pub links: Option<opt_outs::UnsubscribeLinks>,
    /// The operator's templates, which override the built-in ones.
    pub templates_dir: Option<PathBuf>,
    pub disclaimers_dir: Option<PathBuf>,
    /// The key in an account's metadata that names its language.
    pub locale_metadata_key: String,
    pub schedule: Schedule,
    /// Whether a letter may go to the public support address if no other is known.
    pub allow_support_address: bool,
}

impl Settings {
    /// The one-click link, if merchants can unsubscribe by HTTP.
    fn unsubscribe_url(&self, account: &AccountId) -> Option<Url> {
        self.links.as_ref().map(|links| links.link(account))
    }
}

/// What happens to a letter that may or may not have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenUncertain {
    /// Send it again with the same Message-ID: at least once.
    Resend,
    /// Hold it for an operator: at most once.
    Hold,
}

impl std::str::FromStr for WhenUncertain {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match given {
            "resend" => Ok(Self::Resend),
            "hold" => Ok(Self::Hold),
            _ => Err("must be resend or hold"),
        }
    }
}
