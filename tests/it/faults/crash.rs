//! A row of the crash table each (docs/architecture.md): the process really dies at that point, is started again, and the offer
//! is delivered all the same.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, Simulator, WebhookEndpoint};

use crate::support::SECRET;
use crate::support::process::{self, Process};
use crate::support::smtp::Relay;
use crate::support::wait::eventually;

struct World {
    stripe: Simulator,
    relay: Relay,
    db: PgPool,
    env: HashMap<String, String>,
}

impl World {
    async fn start(db: PgPool) -> Self {
        let (stripe, relay, env) = process::world(&db).await;
        Self { stripe, relay, db, env }
    }

    /// Starts the service so that it dies at `point`, lets Stripe announce an offer, and sees it die. Stripe goes on trying.
    async fn crash_at(&self, point: &str) -> String {
        let mut env = self.env.clone();
        env.insert("COURIER_CRASH_AT".to_owned(), point.to_owned());
        let mut dying = Process::serve(&env).await;
        self.send_to(&dying);
        let account = NewAccount {
            name: Some("Jenny's Bakery".to_owned()),
            email: Some("jenny@bakery.example".to_owned()),
            country: None,
        };
        let offer =
            self.stripe.create_offer(&self.stripe.add_account(&account), &NewOffer::default());
        let status = dying.ended().await;
        assert!(
            !status.success() && status.code().is_none(),
            "it was to be killed at {point}: {status}\n{}",
            dying.logged()
        );
        offer
    }

    fn send_to(&self, process: &Process) {
        let url = process
            .webhook
            .as_deref()
            .unwrap_or_else(|| panic!("it did not start: {}", process.logged()));
        self.stripe.register_webhook(WebhookEndpoint {
            url: url.parse().unwrap(),
            secrets: vec![SECRET.to_owned()],
            first_retry_after: Duration::from_millis(100),
            max_attempts: 1,
            copies: 1,
            max_delay: Duration::ZERO,
        });
    }

    /// Starts the service again, lets Stripe send what it got no 2xx for, and waits for the delivery.
    async fn start_again(&self, offer: &str) {
        let process = Process::serve(&self.env).await;
        let url = process.webhook.clone().unwrap();
        self.stripe.deliveries_finished().await;
        if !self.stripe.is_event_delivered(offer) {
            self.stripe.resend_events(offer, &url.parse().unwrap()).await;
        }
        let is_delivered =
            async || self.state(offer, "deliveries").await.as_deref() == Some("delivered");
        eventually(|| process.logged(), is_delivered).await;
        assert_eq!(self.state(offer, "letters").await.as_deref(), Some("sent"));
        assert_eq!(self.stripe.delivered_marks(offer), 1);
        // SIGTERM, and it ends as it should.
        let mut process = process;
        process.signal("-TERM");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.logged());
    }

    async fn state(&self, offer: &str, table: &str) -> Option<String> {
        let query = match table {
            "letters" => "select state from letters where offer_id = $1",
            _ => "select state from deliveries where offer_id = $1",
        };
        sqlx::query_scalar(query).bind(offer).fetch_optional(&self.db).await.unwrap()
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.db).await.unwrap()
    }
}

const EVENTS: &str = "select count(*) from inbox_events join inbox_bodies using (event_id)";
const UNREAD: &str = "select count(*) from inbox_events where state = 'unread'";
const LETTERS: &str = "select count(*) from letters";

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn before_the_commit_of_the_inbox_stripe_got_no_2xx_and_sends_again(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("webhook.before_commit").await;
    assert_eq!(world.count(EVENTS).await, 0);
    assert!(!world.stripe.is_event_delivered(&offer));
    world.start_again(&offer).await;
    assert_eq!(world.relay.letters().len(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_that_commit_and_before_the_200_the_event_is_kept_once(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("webhook.after_commit").await;
    assert_eq!(world.count(EVENTS).await, 1);
    assert!(!world.stripe.is_event_delivered(&offer));
    world.start_again(&offer).await;
    assert_eq!((world.count(EVENTS).await, world.relay.letters().len()), (1, 1));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn while_reading_all_is_rolled_back_and_read_again(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("inbox.before_commit").await;
    assert_eq!((world.count(UNREAD).await, world.count(LETTERS).await), (1, 0));
    world.start_again(&offer).await;
    assert_eq!((world.count(LETTERS).await, world.relay.letters().len()), (1, 1));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn before_sending_is_committed_another_worker_takes_the_job(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("letter.before_sending").await;
    assert_eq!(world.state(&offer, "letters").await.as_deref(), Some("waiting"));
    world.start_again(&offer).await;
    assert_eq!(world.relay.letters().len(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_sending_is_committed_the_letter_is_uncertain_though_the_relay_never_had_it(
    db: PgPool,
) {
    let world = World::start(db).await;
    let offer = world.crash_at("letter.after_sending").await;
    assert_eq!(world.state(&offer, "letters").await.as_deref(), Some("sending"));
    assert!(world.relay.letters().is_empty());
    world.start_again(&offer).await;
    assert_eq!(world.relay.letters().len(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn before_the_relays_answer_is_recorded_the_letter_is_sent_again_under_the_same_message_id(
    db: PgPool,
) {
    let world = World::start(db).await;
    let offer = world.crash_at("letter.after_relay").await;
    assert_eq!(world.state(&offer, "letters").await.as_deref(), Some("sending"));
    assert_eq!((world.relay.letters().len(), world.stripe.delivered_marks(&offer)), (1, 0));
    world.start_again(&offer).await;
    let letters = world.relay.letters();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0].header("Message-ID"), letters[1].header("Message-ID"));
    assert_eq!(letters[0].message().body_text(0), letters[1].message().body_text(0));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_same_crash_leaves_a_held_letter_where_the_operator_wants_no_second_one(db: PgPool) {
    let mut world = World::start(db).await;
    world.env.insert("COURIER_EMAIL__WHEN_UNCERTAIN".to_owned(), "hold".to_owned());
    let offer = world.crash_at("letter.after_relay").await;
    let process = Process::serve(&world.env).await;
    let is_held = async || world.state(&offer, "letters").await.as_deref() == Some("held");
    eventually(|| process.logged(), is_held).await;
    assert_eq!((world.relay.letters().len(), world.stripe.delivered_marks(&offer)), (1, 0));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_the_relays_answer_is_recorded_any_worker_marks_it(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("letter.after_sent").await;
    assert_eq!(world.state(&offer, "letters").await.as_deref(), Some("sent"));
    assert_eq!(world.state(&offer, "deliveries").await.as_deref(), Some("pending"));
    world.start_again(&offer).await;
    assert_eq!(world.relay.letters().len(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_stripe_acknowledged_and_before_we_recorded_it_stripe_answers_the_same_again(
    db: PgPool,
) {
    let world = World::start(db).await;
    let offer = world.crash_at("mark.after_stripe").await;
    assert_eq!(world.state(&offer, "deliveries").await.as_deref(), Some("pending"));
    assert_eq!(world.stripe.delivered_marks(&offer), 1);
    world.start_again(&offer).await;
    let marks: Vec<_> = world
        .stripe
        .requests()
        .into_iter()
        .filter(|call| call.path.ends_with("mark_delivered"))
        .collect();
    assert_eq!(marks.len(), 2);
    assert_eq!(marks[0].idempotency_key, marks[1].idempotency_key);
    assert_eq!(world.relay.letters().len(), 1);
}
