//! Pages of lists (<https://docs.stripe.com/api/pagination>).

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Stripe's list object.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// A page of a list with undecoded entries, so that an unreadable entry does not lose the others.
#[derive(Debug)]
pub struct Page {
    /// Newest first, each as raw JSON.
    pub entries: Vec<Box<RawValue>>,
    /// Whether older entries follow.
    pub has_more: bool,
    /// The `Date` of the response.
    pub at: Option<DateTime<Utc>>,
}

impl Page {
    /// The id after which the next page begins.
    pub fn last_id(&self) -> Option<String> {
        self.entries.last().and_then(|entry| id_of(entry))
    }
}

/// The id of an otherwise undecoded entry.
pub fn id_of(entry: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct HasId {
        id: String,
    }
    let read = serde_json::from_str::<HasId>(entry.get()).ok();
    // Postgres cannot store a NUL.
    read.map(|entry| entry.id).filter(|id| !id.contains('\0'))
}
