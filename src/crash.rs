//! Crash points: places at which a test makes the process die, to check what a crash there leaves.
//!
//! With the feature `crash-points`, a process started with `COURIER_CRASH_AT=<name>` aborts at that
//! point. As with `kill -9`, no destructor runs and nothing is flushed. Without the feature, the
//! calls compile to nothing.

/// Aborts the process if `COURIER_CRASH_AT` is `name`.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    #[expect(clippy::disallowed_methods, reason = "not a setting: it exists in test builds alone")]
    let wanted = std::env::var("COURIER_CRASH_AT");
    if wanted.is_ok_and(|wanted| wanted == name) {
        std::process::abort();
    }
}

/// Does nothing without the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}
