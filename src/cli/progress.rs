//! Progress of long work, on stderr. Where stderr is no terminal, nothing is drawn.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(120);

/// Removed from the terminal when dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// For work of a known number of steps.
    pub(super) fn bar(what: &'static str, total: usize) -> Self {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
        Self::start(ProgressBar::new(total as u64), style.ok(), what.into())
    }

    /// For work of unknown length.
    pub(super) fn spinner(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        Self::start(ProgressBar::new_spinner(), style.ok(), what.into())
    }

    /// For rows of unknown number.
    pub(super) fn counter(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{spinner} {pos} {msg} {elapsed}");
        Self::start(ProgressBar::new_spinner(), style.ok(), what.into())
    }

    fn start(bar: ProgressBar, style: Option<ProgressStyle>, what: Cow<'static, str>) -> Self {
        let bar = match style {
            Some(style) => bar.with_style(style),
            None => bar,
        };
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub(super) fn advance(&self, steps: usize) {
        self.0.inc(steps as u64);
    }

    pub(super) fn say(&self, message: String) {
        self.0.set_message(message);
    }

    /// Prints something that stays above it.
    pub(super) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Whether it is hidden: the caller then reports progress in another way, or not at all.
    pub(super) fn is_hidden(&self) -> bool {
        self.0.is_hidden()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
