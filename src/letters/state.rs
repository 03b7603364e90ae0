//! The states of a letter, as stored.

use sqlx::Postgres;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};

/// As in `letters.state`; the diagram is in the module above.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    strum::EnumIter,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    Waiting,
    /// Being handed to the relay. Without a live lease, it may have been sent.
    Sending,
    /// The relay answered 2xx.
    Sent,
    /// The relay answered 5xx.
    Rejected,
    /// It may have been sent.
    Uncertain,
    /// The offer is no longer open, or an operator withdrew the letter.
    Withdrawn,
    /// The account opted out.
    Suppressed,
    /// An operator must act.
    Held,
    /// A bounce report arrived.
    Bounced,
}

impl State {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A newer replica may write a state that this version does not know; such a letter is left to it.
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
