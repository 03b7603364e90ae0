//! What operators see and do, by the console and by the command line alike.
//!
//! | module | owns |
//! |---|---|
//! | [`attention`] | what waits for an operator: why, since when, what resolves it |
//! | [`account_case`] | everything about one account |
//! | [`offer_case`] | everything about one offer, and why its merchant has no email |
//! | [`acts`] | what an operator can do, each with its entry in the log |
//! | [`letters`], [`bulk`], [`opt_outs`] | acts on letters, and on many things at once |
//! | [`search`] | what an id or an address belongs to |
//! | [`pause`] | the acts that stop emails from leaving and let them leave again |
//! | [`actions`] | the log: who did what, when and why |

pub mod account_case;
pub mod actions;
pub mod acts;
pub mod attention;
pub mod bulk;
pub mod letters;
pub mod offer_case;
pub mod opt_outs;
pub mod pause;
pub mod search;

use crate::consent::opt_outs::Note;

/// How an operator reached the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Channel {
    Console,
    CommandLine,
}

impl Channel {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Who asks for an act, and why. Required by every function of [`acts`].
#[derive(Clone, Debug)]
pub struct Instruction {
    /// The name of the person, as the channel knows it.
    pub operator: String,
    pub channel: Channel,
    /// `None` only from a script on the command line.
    pub reason: Option<Note>,
}
