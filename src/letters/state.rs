//! The states of a letter, as the table has them.

use sqlx::Postgres;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};

/// Where a letter stands, as in `letters.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be sent.
    Waiting,
    /// Being handed over; with a dead lease: perhaps sent.
    Sending,
    /// The relay answered 2xx.
    Sent,
    /// The relay's last word was no.
    Rejected,
    /// May have been sent.
    Uncertain,
    /// The offer is no longer open.
    Withdrawn,
    /// The account does not want such letters.
    Suppressed,
    /// A person must act.
    Held,
    /// It came back.
    Bounced,
}

impl State {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Uncertain => "uncertain",
            Self::Withdrawn => "withdrawn",
            Self::Suppressed => "suppressed",
            Self::Held => "held",
            Self::Bounced => "bounced",
        }
    }

    const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Sending,
        Self::Sent,
        Self::Rejected,
        Self::Uncertain,
        Self::Withdrawn,
        Self::Suppressed,
        Self::Held,
        Self::Bounced,
    ];
}

/// A newer replica may write a state that this version does not know: then the letter cannot be
/// read here, and is left to others.
#[derive(Debug, thiserror::Error)]
#[error("this version does not know the letter state `{0}`: update this replica")]
struct UnknownState(String);

impl sqlx::Type<Postgres> for State {
    fn type_info() -> PgTypeInfo {
        <str as sqlx::Type<Postgres>>::type_info()
    }
}

impl<'r> sqlx::Decode<'r, Postgres> for State {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let word = <&str as sqlx::Decode<'r, Postgres>>::decode(value)?;
        let known = Self::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| UnknownState(word.to_owned()).into())
    }
}
