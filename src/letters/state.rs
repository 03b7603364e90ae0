//! The states of a letter, as the table has them.

use sqlx::Postgres;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};

/// Where a letter stands, as in `letters.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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
        self.into()
    }
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
        word.parse().map_err(|_| UnknownState(word.to_owned()).into())
    }
}
