//! Places at which a test can make the process die, to show what a crash there leaves behind.
//!
//! With the feature `crash-points` a process that was started with `COURIER_CRASH_AT=<name>` aborts at that point: no
//! destructor runs, nothing is flushed, as with `kill -9`. Without the feature there is nothing.

/// Dies here, if this is where the test wants it.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    #[expect(clippy::disallowed_methods, reason = "not a setting: it exists in test builds alone")]
    let wanted = std::env::var("COURIER_CRASH_AT");
    if wanted.is_ok_and(|wanted| wanted == name) {
        std::process::abort();
    }
}

/// Nothing: only test builds can crash on request.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}
