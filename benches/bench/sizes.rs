//! How much each part does.

use std::time::Duration;

pub struct Sizes {
    /// Of each measurement; the table shows the median.
    pub rounds: usize,
    /// How long requests are posted in one round.
    pub load: Duration,
    /// Calls of a function of about a microsecond.
    pub calls: u32,
    /// Events in the inbox of a reader.
    pub unread: usize,
    /// Offers end to end.
    pub offers: usize,
    /// The same with Stripe's limit.
    pub limited_offers: usize,
    /// Offers that come alone.
    pub lone_offers: usize,
    /// Offers in the burst.
    pub burst: usize,
    /// How long events are accepted and read.
    pub together: Duration,
    /// Movements of one account.
    pub movements: i64,
    /// Requests for each page.
    pub requests: usize,
    /// Events, jobs and offers of the history.
    pub history: (i64, i64, i64),
}

impl Sizes {
    pub fn full() -> Self {
        Self {
            rounds: 5,
            load: Duration::from_secs(2),
            calls: 200_000,
            unread: 30_000,
            offers: 500,
            limited_offers: 120,
            lone_offers: 50,
            burst: 100_000,
            together: Duration::from_mins(1),
            movements: 500_000,
            requests: 300,
            history: (10_000_000, 1_000_000, 1_000_000),
        }
    }

    /// Shows that everything runs; its figures mean nothing.
    pub fn quick() -> Self {
        Self {
            rounds: 1,
            load: Duration::from_millis(300),
            calls: 2_000,
            unread: 1_000,
            offers: 30,
            limited_offers: 10,
            lone_offers: 3,
            burst: 500,
            together: Duration::from_secs(2),
            movements: 2_000,
            requests: 5,
            history: (10_000, 1_000, 1_000),
        }
    }
}
