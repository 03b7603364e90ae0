//! A cap on the connections of one listener, below the number of file descriptors.
//!
//! At the cap a new connection is accepted, and the oldest one is closed for it. A connection is as old as
//! its last request that was proven to be Stripe's ([`Proven`]), or else as itself: a response that any
//! client can have, such as a 404 or a health check, does not make it younger. Leaving newcomers in the kernel's
//! backlog, or refusing them, would let a client that holds all connections decide how long Stripe waits.
//! This way Stripe's request gets through unless a whole cap's worth of newer connections arrives before it
//! is complete.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

/// Goes with a response to a request that was proven: signed by Stripe.
#[derive(Clone, Copy, Debug)]
pub struct Proven;

/// The open connections of one listener.
#[derive(Debug)]
pub(super) struct Connections {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last_id: u64,
    by_id: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// When a request of it was last proven, or else when it was accepted.
    since: Instant,
    evict: CancellationToken,
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    connections: Arc<Connections>,
    id: u64,
    evict: CancellationToken,
}

impl Connections {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, open: Mutex::default() })
    }

    /// Takes a place for a new connection. Says whether another was evicted for it.
    pub(super) fn admit(self: &Arc<Self>) -> (Slot, bool) {
        let mut open = self.open();
        let is_full = open.by_id.len() >= self.max;
        if is_full {
            let oldest = open.by_id.iter().min_by_key(|(id, entry)| (entry.since, **id));
            if let Some(id) = oldest.map(|(id, _)| *id)
                && let Some(entry) = open.by_id.remove(&id)
            {
                entry.evict.cancel();
            }
        }
        open.last_id += 1;
        let (id, evict) = (open.last_id, CancellationToken::new());
        open.by_id.insert(id, Entry { since: Instant::now(), evict: evict.clone() });
        drop(open);
        (Slot { connections: Arc::clone(self), id, evict }, is_full)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }
}

impl Slot {
    /// Records that a request was proven.
    pub(super) fn proven(&self) {
        if let Some(entry) = self.connections.open().by_id.get_mut(&self.id) {
            entry.since = Instant::now();
        }
    }

    /// Waits until the connection has to close for a newer one.
    pub(super) async fn evicted(&self) {
        self.evict.cancelled().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_cap_the_connection_that_proved_nothing_for_longest_is_evicted() {
        let connections = Connections::new(3);
        let admit = || connections.admit();
        let ((first, _), (second, _), (third, full)) = (admit(), admit(), admit());
        assert!(!full);
        first.proven();
        let (fourth, full) = admit();
        assert!(full && second.evict.is_cancelled());
        let evicted = [&first, &third, &fourth].map(|slot| slot.evict.is_cancelled());
        assert_eq!(evicted, [false; 3]);

        drop(third);
        assert!(!admit().1, "a place that was given back is free");
        // The evicted one gives nothing back a second time.
        drop(second);
        assert_eq!(connections.open().by_id.len(), 2);
    }
}
