//! Evidence of what was sent to whom. Append-only, and separate from the letters, whose content can
//! be rewritten.
//!
//! An attempt is recorded with its exact bytes in the transaction that commits `sending`, before
//! the first byte leaves; its result in the transaction that records the relay's reply. Everything
//! that was sent is therefore on record, even if the process died in between. Such an attempt gets
//! the result `unknown`, and the next attempt of the letter has the same Message-ID.

pub(in crate::letters) mod sets;
pub mod store;

use sha2::{Digest, Sha256};

/// The outcome of an attempt, as in `delivery_attempt_results.outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum AttemptOutcome {
    /// 2xx after the final dot.
    Sent,
    /// 5xx after the final dot.
    Rejected,
    /// 4xx after the final dot.
    Deferred,
    /// The connection or the process died before the reply.
    Unknown,
    /// Recorded, but nothing was handed over.
    NotStarted,
}

impl AttemptOutcome {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether these are the recorded bytes.
pub fn is_hash_of(sha256: &[u8], message: &[u8]) -> bool {
    sha256 == hash(message)
}

fn hash(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}
