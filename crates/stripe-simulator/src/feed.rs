//! The feed: what happened in the simulator and in the program that hosts it, newest last. Bounded:
//! the oldest entries are dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// What the pages show of it is less than this.
const CAPACITY: usize = 400;
/// How far back an entry of the same kind is looked for.
const MERGE_WITHIN: usize = 40;
/// A subscriber that is further behind misses entries.
const SUBSCRIBER_LAG: usize = 256;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedEntry {
    /// By the simulator's clock.
    pub at: DateTime<Utc>,
    /// The account that it is about, if it is about one.
    pub account: Option<String>,
    /// Plain text.
    pub text: String,
    /// A label, and where it leads.
    pub link: Option<(String, String)>,
    pub tone: Tone,
}

/// How an entry looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    #[default]
    Quiet,
    Good,
    /// Under way.
    Busy,
    Warn,
    Bad,
}

impl Tone {
    /// The class in the stylesheet.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// The feed of a simulator. Clones are the same one.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    log: Mutex<Log>,
    subscribers: broadcast::Sender<FeedEntry>,
}

#[derive(Default)]
struct Log {
    entries: VecDeque<NumberedEntry>,
    last_number: u64,
}

/// An entry in its place. Numbers grow, also over restarts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NumberedEntry {
    pub(crate) number: u64,
    pub(crate) entry: FeedEntry,
    /// How many entries of the same kind it stands for.
    pub(crate) count: u32,
    kind: Option<String>,
}

impl NumberedEntry {
    /// One of many, as each day's payment is.
    pub(crate) fn is_routine(&self) -> bool {
        self.kind.is_some()
    }
}

impl Default for Feed {
    fn default() -> Self {
        let (subscribers, _) = broadcast::channel(SUBSCRIBER_LAG);
        Self(Arc::new(Shared { log: Mutex::default(), subscribers }))
    }
}

impl Feed {
    pub fn push(&self, entry: FeedEntry) {
        self.log().append(entry.clone(), 1, None);
        // Fails without a subscriber.
        let _ = self.0.subscribers.send(entry);
    }

    /// Entries from now on. Of entries that are merged, a subscriber gets the first.
    pub fn subscribe(&self) -> broadcast::Receiver<FeedEntry> {
        self.0.subscribers.subscribe()
    }

    /// What is kept, oldest first.
    pub fn entries(&self) -> Vec<FeedEntry> {
        self.log().entries.iter().map(|numbered| numbered.entry.clone()).collect()
    }

    /// Takes the place of a recent entry of this kind about the same account, and counts it.
    pub(crate) fn push_merged(&self, kind: &str, entry: FeedEntry) {
        let mut log = self.log();
        let is_same = |one: &NumberedEntry| {
            one.kind.as_deref() == Some(kind) && one.entry.account == entry.account
        };
        let recent = log.entries.iter().rev().take(MERGE_WITHIN).position(is_same);
        let merged = recent.and_then(|back| log.remove_from_end(back));
        let count = merged.as_ref().map_or(1, |merged| merged.count + 1);
        log.append(entry.clone(), count, Some(kind.to_owned()));
        drop(log);
        if merged.is_none() {
            let _ = self.0.subscribers.send(entry);
        }
    }

    pub(crate) fn numbered(&self) -> Vec<NumberedEntry> {
        self.log().entries.iter().cloned().collect()
    }

    /// The number of the newest entry; 0 if there was none.
    pub(crate) fn last_number(&self) -> u64 {
        self.log().last_number
    }

    /// Puts the entries of an earlier run in front.
    pub(crate) fn restore(&self, earlier: Vec<NumberedEntry>) {
        let mut log = self.log();
        let own: Vec<NumberedEntry> = log.entries.drain(..).collect();
        log.last_number = earlier.last().map_or(0, |last| last.number);
        log.entries = earlier.into();
        for numbered in own {
            log.append(numbered.entry, numbered.count, numbered.kind);
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn append(&mut self, entry: FeedEntry, count: u32, kind: Option<String>) {
        self.last_number += 1;
        let number = self.last_number;
        self.entries.push_back(NumberedEntry { number, entry, count, kind });
        if self.entries.len() > CAPACITY {
            self.entries.pop_front();
        }
    }

    fn remove_from_end(&mut self, back: usize) -> Option<NumberedEntry> {
        self.entries.remove(self.entries.len() - 1 - back)
    }
}
