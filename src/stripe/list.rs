//! Lists, a page at a time (<https://docs.stripe.com/api/pagination>).

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A list as Stripe sends it.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// A page whose entries are kept as they came: one that we cannot read must not cost us the others.
#[derive(Debug)]
pub struct Page {
    /// Newest first, each with its own bytes.
    pub entries: Vec<Box<RawValue>>,
    /// Whether older ones follow.
    pub has_more: bool,
    /// Stripe's time of the answer.
    pub at: Option<DateTime<Utc>>,
}

impl Page {
    /// The id of the last entry, after which the next page begins.
    pub fn last_id(&self) -> Option<String> {
        self.entries.last().and_then(|entry| id_of(entry))
    }
}

/// The id of an entry, of which nothing else need be known.
pub fn id_of(entry: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct HasId {
        id: String,
    }
    let read = serde_json::from_str::<HasId>(entry.get()).ok();
    // Postgres has no way to write a NUL.
    read.map(|entry| entry.id).filter(|id| !id.contains('\0'))
}
