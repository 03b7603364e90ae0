//! File descriptors: each connection needs one, and so do Postgres, Stripe and the relay.

/// Raises the soft limit to the hard one. The default soft limit of many systems is 256 or 1,024, which is
/// fewer than a busy service has connections.
pub fn raise_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(error = %error, "cannot raise the limit on open files");
    }
}

/// How many connections one listener may have: what the settings say, but at most a third of the descriptors:
/// one that is closed for another keeps its own for a moment, and the database, Stripe and the relay
/// need some.
pub fn affordable(wanted: usize) -> usize {
    let Ok((soft, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) else { return wanted };
    let third = usize::try_from(soft / 3).unwrap_or(usize::MAX).max(1);
    if third < wanted {
        tracing::warn!(
            wanted,
            allowed = third,
            "too few file descriptors for http.max_connections: raise ulimit -n"
        );
    }
    third.min(wanted)
}
