//! Events, offers, deliveries and jobs, as the database has them.

use super::TestApp;

impl TestApp {
    pub async fn offer_status(&self, offer: &str) -> String {
        self.one("select status from financing_offers where offer_id = $1", offer).await
    }

    pub async fn expect_status(&self, offer: &str, status: &str) {
        assert_eq!(self.offer_status(offer).await, status, "{offer}");
    }

    pub async fn expect_no_letter(&self, offer: &str) {
        let letters: i64 =
            self.one("select count(*) from letters where offer_id = $1", offer).await;
        assert_eq!(letters, 0, "letters about {offer}");
    }

    /// State and note of the report to Stripe.
    pub async fn delivery(&self, offer: &str) -> (String, Option<String>) {
        sqlx::query_as("select state, note from deliveries where offer_id = $1")
            .bind(offer)
            .fetch_one(&self.db)
            .await
            .unwrap()
    }

    /// The note of the offer's latest timeline entry whose kind ends like this.
    pub async fn timeline_note(&self, offer: &str, kind: &str) -> Option<String> {
        sqlx::query_scalar(
            "select note from timeline_entries where offer_id = $1 and kind like '%' || $2
             order by timeline_entry_id desc limit 1",
        )
        .bind(offer)
        .bind(kind)
        .fetch_one(&self.db)
        .await
        .unwrap()
    }

    /// The stored event about an offer, where there is one.
    pub async fn event_id(&self, offer: &str) -> String {
        self.one("select event_id from inbox_events where object_id = $1", offer).await
    }

    pub async fn expect_events_about(&self, offer: &str, count: i64) {
        let stored: i64 =
            self.one("select count(*) from inbox_events where object_id = $1", offer).await;
        assert_eq!(stored, count, "events about {offer}");
    }

    /// State and note of an event.
    pub async fn event_state(&self, event_id: &str) -> (String, Option<String>) {
        sqlx::query_as("select state, note from inbox_events where event_id = $1")
            .bind(event_id)
            .fetch_one(&self.db)
            .await
            .unwrap()
    }

    pub async fn events_in_state(&self, state: &str) -> i64 {
        self.one("select count(*) from inbox_events where state = $1", state).await
    }

    pub async fn stored_events(&self) -> i64 {
        self.one("select count(*) from inbox_events where event_id <> $1", "").await
    }

    /// Makes every job due now. A command schedules by the system's clock, which is ahead of the
    /// clock of the service under test.
    pub async fn make_jobs_due(&self) {
        sqlx::query("update jobs set due_at = $1")
            .bind(self.clock.now())
            .execute(&self.db)
            .await
            .unwrap();
    }

    pub async fn dead_jobs(&self, kind: &str) -> i64 {
        self.one("select count(*) from jobs where kind = $1 and state = 'dead'", kind).await
    }

    /// Queued `send_letter` jobs that have used an attempt.
    pub async fn tried_letters(&self) -> i64 {
        self.one(
            "select count(*) from jobs where kind = $1 and state = 'queued' and attempt > 0",
            "send_letter",
        )
        .await
    }
}
