//! The proof of what was sent to whom: kept apart from the letters, whose words may be written anew, and never changed.
//!
//! A handing over is written down with its bytes in the transaction that commits `sending`, before the first of them leaves; what the
//! relay said, in the transaction that records it. So whatever left is in the books, also where the process died in between: such a
//! handing over is `unknown`, and the next one of the same letter has the same Message-ID.

pub mod store;

use sha2::{Digest, Sha256};

/// The outcome of an attempt, as in `delivery_attempt_results.outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum AttemptOutcome {
    /// 2xx to the final dot.
    Sent,
    /// 5xx to it.
    Rejected,
    /// 4xx to it.
    Deferred,
    /// Nobody knows.
    Unknown,
    /// Written down, and then not begun.
    NotStarted,
}

impl AttemptOutcome {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether these bytes are the ones that were written down.
pub fn is_hash_of(sha256: &[u8], message: &[u8]) -> bool {
    sha256 == hash(message)
}

fn hash(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}
