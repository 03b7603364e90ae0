//! What operators have dismissed from the list of what waits for them
//! ([`crate::operators::attention`]). Each module leaves it out in the SQL of its own tables.

use chrono::{DateTime, Utc};

/// Ids of rows, each with the time of its dismissal. A row that changed later is not dismissed.
/// The two lists have the same length.
#[derive(Clone, Debug, Default)]
pub struct Dismissed {
    pub ids: Vec<String>,
    pub at: Vec<DateTime<Utc>>,
}
