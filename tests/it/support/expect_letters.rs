//! Letters, their evidence and the opt-outs, as the database has them.

use capital_courier::consent::opt_outs::{OptOutRequest, OptOutSource, opt_out};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::TestApp;

/// A row of `delivery_attempts` with its result.
#[derive(sqlx::FromRow)]
pub struct DeliveryAttempt {
    pub attempt: i32,
    pub message_id: String,
    pub subject: String,
    pub message: Vec<u8>,
    pub message_sha256: Vec<u8>,
    pub outcome: Option<String>,
}

/// The state of an offer's letter, for tests without a [`TestApp`]. `None` before it is opened.
pub async fn letter_state(db: &PgPool, offer: &str) -> Option<String> {
    sqlx::query_scalar("select state from letters where offer_id = $1")
        .bind(offer)
        .fetch_optional(db)
        .await
        .unwrap()
}

/// How many attempts to send an offer's letter have an unknown outcome.
pub async fn uncertain_attempts(db: &PgPool, offer: &str) -> i32 {
    sqlx::query_scalar("select uncertain_attempts from letters where offer_id = $1")
        .bind(offer)
        .fetch_one(db)
        .await
        .unwrap()
}

impl TestApp {
    /// The account of an offer at Stripe.
    pub fn account_of(&self, offer: &str) -> String {
        self.stripe.offer(offer).unwrap()["account"].as_str().unwrap().to_owned()
    }

    /// Delivers the event that announces an offer and runs all due work.
    pub async fn announce(&self, offer: &str) {
        self.stripe_sends(&self.created(offer)).await.expect_kept();
        self.run_due_work().await;
    }

    /// An operator opts an account out.
    pub async fn opts_out(&self, account: &str) {
        let now = self.clock.now();
        let request = OptOutRequest {
            account_id: account,
            source: OptOutSource::Operator,
            note: None,
            since: now,
        };
        let mut tx = self.db.begin().await.unwrap();
        opt_out(&mut tx, &request, now).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn end_opt_outs(&self) {
        sqlx::query("update opt_outs set ended_at = opted_out_at, ended_by = 'operator'")
            .execute(&self.db)
            .await
            .unwrap();
    }

    /// The sources of the active opt-outs.
    pub async fn active_opt_outs(&self) -> Vec<String> {
        sqlx::query_scalar("select source from opt_outs where ended_at is null")
            .fetch_all(&self.db)
            .await
            .unwrap()
    }

    pub async fn contact_overrides(&self) -> Vec<String> {
        sqlx::query_scalar("select account_id from contact_overrides order by account_id")
            .fetch_all(&self.db)
            .await
            .unwrap()
    }

    /// The Message-ID of an offer's only letter, without brackets.
    pub async fn message_id(&self, offer: &str) -> String {
        self.one("select message_id from letters where offer_id = $1", offer).await
    }

    /// The addressee of each message that the relay accepted; the blind copies are left out.
    pub fn recipients(&self) -> Vec<String> {
        self.relay.letters().iter().map(|letter| letter.to[0].clone()).collect()
    }

    /// `kind state` of each letter about an offer, in their order.
    pub async fn sequence(&self, offer: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select kind || ' ' || state from letters where offer_id = $1 order by sequence",
        )
        .bind(offer)
        .fetch_all(&self.db)
        .await
        .unwrap()
    }

    pub async fn expect_sequence(&self, offer: &str, expected: &[&str]) {
        assert_eq!(self.sequence(offer).await, expected, "letters about {offer}");
    }

    pub async fn letters_in_state(&self, state: &str) -> i64 {
        self.one("select count(*) from letters where state = $1", state).await
    }

    /// Records a bounce of an offer's announcement.
    pub async fn bounce_announcement(&self, offer: &str) {
        sqlx::query("update letters set state = 'bounced' where offer_id = $1 and sequence = 0")
            .bind(offer)
            .execute(&self.db)
            .await
            .unwrap();
    }

    /// Changes the end of an offer in the database, but not at Stripe.
    pub async fn set_stored_end(&self, offer: &str, end: DateTime<Utc>) {
        sqlx::query("update financing_offers set expires_at = $2 where offer_id = $1")
            .bind(offer)
            .bind(end)
            .execute(&self.db)
            .await
            .unwrap();
    }

    /// The attempts to send an offer's letters, in their order.
    pub async fn delivery_attempts(&self, offer: &str) -> Vec<DeliveryAttempt> {
        sqlx::query_as(
            "select attempt, message_id, subject, message, message_sha256, outcome
             from delivery_attempts
             left join delivery_attempt_results using (delivery_attempt_id)
             where offer_id = $1
             order by attempt",
        )
        .bind(offer)
        .fetch_all(&self.db)
        .await
        .unwrap()
    }

    /// Number and outcome of each attempt to send an offer's letters.
    pub async fn expect_attempts(&self, offer: &str, expected: &[(i32, &str)]) {
        let attempts = self.delivery_attempts(offer).await;
        let outcomes: Vec<(i32, &str)> = attempts
            .iter()
            .map(|attempt| (attempt.attempt, attempt.outcome.as_deref().unwrap_or("no result")))
            .collect();
        assert_eq!(outcomes, expected, "attempts about {offer}");
    }
}
