//! FeedbackEvent came in since the process started, by the way that it came and what it did.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::feedback::Channel;

/// Counts reports. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<(Channel, &'static str), u64>>>);

impl Counts {
    /// One more.
    pub(super) fn count(&self, channel: Channel, outcome: &'static str) {
        let mut counts = self.0.lock();
        *counts.entry((channel, outcome)).or_default() += 1;
    }

    /// All of them: the way, what it did, and how often.
    pub fn all(&self) -> Vec<(Channel, &'static str, u64)> {
        let counts = self.0.lock();
        counts.iter().map(|((channel, outcome), count)| (*channel, *outcome, *count)).collect()
    }
}
