//! FeedbackEvent came in since the process started, by the way that it came and what it did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::feedback::Channel;

/// Counts reports. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<(Channel, &'static str), u64>>>);

impl Counts {
    /// One more.
    pub(super) fn count(&self, channel: Channel, outcome: &'static str) {
        // Plain numbers, whole at any time.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((channel, outcome)).or_default() += 1;
    }

    /// All of them: the way, what it did, and how often.
    pub fn all(&self) -> Vec<(Channel, &'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((channel, outcome), count)| (*channel, *outcome, *count)).collect()
    }
}
