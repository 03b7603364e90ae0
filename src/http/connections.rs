//! Limits the connections of one listener, below the number of file descriptors.
//!
//! At the limit a new connection is accepted and the oldest one is closed. The age of a connection
//! counts from its last request that was verified as Stripe's ([`VerifiedRequest`]), or else from
//! its start: a response that any client can get, such as a 404 or a health check, does not renew
//! it. Leaving new connections in the kernel's backlog, or refusing them, would let a client that
//! holds all connections delay Stripe indefinitely. This way Stripe's request succeeds unless a
//! full set of newer connections arrives before it is complete.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Marks the response to a request whose signature was verified as Stripe's.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedRequest;

/// The open connections of one listener.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    max: usize,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    last_id: u64,
    by_id: HashMap<u64, OpenConnection>,
}

#[derive(Debug)]
struct OpenConnection {
    /// When a request on it was last verified, or else when it was accepted.
    since: Instant,
    evict: CancellationToken,
}

/// One connection's slot, freed on drop.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    connections: Arc<ConnectionTable>,
    id: u64,
    evict: CancellationToken,
}

impl ConnectionTable {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, open: Mutex::default() })
    }

    /// Adds a connection. Returns whether another one was evicted for it.
    pub(super) fn admit(self: &Arc<Self>) -> (ConnectionSlot, bool) {
        let mut open = self.open.lock();
        let is_full = open.by_id.len() >= self.max;
        if is_full {
            // A linear scan, but only at the limit. The id breaks ties between equal instants.
            let oldest = open.by_id.iter().min_by_key(|(id, entry)| (entry.since, **id));
            if let Some(id) = oldest.map(|(id, _)| *id)
                && let Some(entry) = open.by_id.remove(&id)
            {
                // Removed here, not when its task ends: the count must be right for the next
                // connection.
                entry.evict.cancel();
            }
        }
        open.last_id += 1;
        let (id, evict) = (open.last_id, CancellationToken::new());
        open.by_id.insert(id, OpenConnection { since: Instant::now(), evict: evict.clone() });
        drop(open);
        (ConnectionSlot { connections: Arc::clone(self), id, evict }, is_full)
    }
}

impl ConnectionSlot {
    /// Resets the age, after a verified request.
    pub(super) fn renew(&self) {
        if let Some(entry) = self.connections.open.lock().by_id.get_mut(&self.id) {
            entry.since = Instant::now();
        }
    }

    /// Completes when the connection must close for a newer one.
    pub(super) async fn evicted(&self) {
        self.evict.cancelled().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.open.lock().by_id.remove(&self.id);
    }
}

/// Raises the soft limit on open files to the hard one. The default soft limit of many systems is
/// 256 or 1,024, fewer than the connections of a busy service.
pub fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(error = %error, "cannot raise the limit on open files");
    }
}

/// Reduces a connection limit to a third of the file descriptors: an evicted connection keeps its
/// descriptor for a moment, and the database, Stripe and the relay need some too.
pub fn cap_to_descriptors(max_connections: usize) -> usize {
    let Ok((soft, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) else {
        return max_connections;
    };
    let third = usize::try_from(soft / 3).unwrap_or(usize::MAX).max(1);
    if third < max_connections {
        tracing::warn!(
            wanted = max_connections,
            allowed = third,
            "too few file descriptors for http.max_connections: raise ulimit -n"
        );
    }
    third.min(max_connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_longest_without_verification_is_evicted() {
        let connections = ConnectionTable::new(3);
        let admit = || connections.admit();
        let ((first, _), (second, _), (third, full)) = (admit(), admit(), admit());
        assert!(!full);
        first.renew();
        let (fourth, full) = admit();
        assert!(full && second.evict.is_cancelled());
        let evicted = [&first, &third, &fourth].map(|slot| slot.evict.is_cancelled());
        assert_eq!(evicted, [false; 3]);

        drop(third);
        assert!(!admit().1, "a freed slot is available");
        // An evicted connection frees nothing a second time.
        drop(second);
        assert_eq!(connections.open.lock().by_id.len(), 2);
    }
}
