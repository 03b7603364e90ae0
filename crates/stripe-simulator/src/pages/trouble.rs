//! Troubles: switches by which a host program and the simulator make things fail.

use std::fmt;
use std::sync::Arc;

/// A switch that the host program offers on the pages.
#[derive(Clone)]
pub struct Trouble {
    /// In the URL of its form: lower-case letters, digits and `_`.
    pub name: String,
    /// The button that begins it, such as `Relay down`.
    pub start: String,
    /// The button that ends it. None if it happens once, and is over.
    pub stop: Option<String>,
    /// What happens, in a sentence.
    pub explains: String,
    pub is_on: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Begins it (`true`) or ends it. Called while the page waits, so it must return soon.
    pub act: Arc<dyn Fn(bool) + Send + Sync>,
}

impl fmt::Debug for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = (self.is_on)();
        formatter
            .debug_struct("Trouble")
            .field("name", &self.name)
            .field("is_on", &is_on)
            .finish_non_exhaustive()
    }
}
