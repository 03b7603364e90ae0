//! File descriptors: each connection needs one, and so do Postgres, Stripe and the relay.

/// Raises the soft limit to the hard one. The default soft limit of many systems is 256 or 1,024, which is
/// fewer than a busy service has connections.
pub fn raise_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(error = %error, "cannot raise the limit on open files");
    }
}

/// How many connections one listener may have: what the settings say, but at most half of the descriptors, so
/// that the other half is left for the database, Stripe and the relay.
pub fn affordable(wanted: usize) -> usize {
    let Ok((soft, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) else { return wanted };
    let half = usize::try_from(soft / 2).unwrap_or(usize::MAX).max(1);
    if half < wanted {
        tracing::warn!(
            wanted,
            allowed = half,
            "too few file descriptors for http.max_connections: raise ulimit -n"
        );
    }
    half.min(wanted)
}
