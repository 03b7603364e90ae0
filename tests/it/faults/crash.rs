//! One test per row of the crash table in docs/architecture.md: a real process dies at that point,
//! is started again, and delivers the offer.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, Simulator, WebhookEndpoint};

use crate::cli::run_ok;
use crate::support::SECRET;
use crate::support::expect_letters::letter_state;
use crate::support::process::{self, Process, post, try_post};
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

    /// Starts a process that dies at `point`, lets Stripe announce an offer, and waits for the
    /// crash. Returns the offer.
    async fn crash_at(&self, point: &str) -> String {
        let mut env = self.env.clone();
        env.insert("COURIER_CRASH_AT".to_owned(), point.to_owned());
        let mut dying = Process::serve(&env).await;
        self.register_webhook(&dying);
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
            "the process did not crash at {point}: {status}\n{}",
            dying.logged()
        );
        offer
    }

    /// Stripe delivers each event to this process, once.
    fn register_webhook(&self, process: &Process) {
        let url = process
            .webhook
            .as_deref()
            .unwrap_or_else(|| panic!("the process did not start: {}", process.logged()));
        self.stripe.register_webhook(WebhookEndpoint {
            url: url.parse().unwrap(),
            secrets: vec![SECRET.to_owned()],
            first_retry_after: Duration::from_millis(100),
            max_attempts: 1,
            copies: 1,
            max_delay: Duration::ZERO,
        });
    }

    /// Starts a process, lets Stripe resend events without a 2xx, and waits for the delivery.
    async fn restart_and_deliver(&self, offer: &str) {
        let mut process = Process::serve(&self.env).await;
        let url = process.webhook.clone().unwrap();
        self.stripe.deliveries_finished().await;
        if !self.stripe.is_event_delivered(offer) {
            self.stripe.resend_events(offer, &url.parse().unwrap()).await;
        }
        let is_delivered =
            async || self.delivery_state(offer).await.as_deref() == Some("delivered");
        eventually(|| process.logged(), is_delivered).await;
        self.expect_letter(offer, "sent").await;
        assert_eq!(self.stripe.delivered_marks(offer), 1);
        process.signal("-TERM");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.logged());
    }

    async fn expect_letter(&self, offer: &str, state: &str) {
        assert_eq!(letter_state(&self.db, offer).await.as_deref(), Some(state), "{offer}");
    }

    async fn expect_delivery(&self, offer: &str, state: &str) {
        assert_eq!(self.delivery_state(offer).await.as_deref(), Some(state), "{offer}");
    }

    async fn delivery_state(&self, offer: &str) -> Option<String> {
        sqlx::query_scalar("select state from deliveries where offer_id = $1")
            .bind(offer)
            .fetch_optional(&self.db)
            .await
            .unwrap()
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.db).await.unwrap()
    }
}

const EVENTS: &str = "select count(*) from inbox_events join inbox_bodies using (event_id)";
const UNREAD: &str = "select count(*) from inbox_events where state = 'unread'";
const LETTERS: &str = "select count(*) from letters";

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_before_the_inbox_commit_makes_stripe_send_again(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("webhook.before_commit").await;
    assert_eq!(world.count(EVENTS).await, 0);
    assert!(!world.stripe.is_event_delivered(&offer));
    world.restart_and_deliver(&offer).await;
    assert_eq!(world.relay.letters().len(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_after_the_inbox_commit_stores_the_event_once(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("webhook.after_commit").await;
    assert_eq!(world.count(EVENTS).await, 1);
    assert!(!world.stripe.is_event_delivered(&offer));
    world.restart_and_deliver(&offer).await;
    assert_eq!((world.count(EVENTS).await, world.relay.letters().len()), (1, 1));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_between_the_commit_of_a_batch_and_its_answers_repeats_events(db: PgPool) {
    for point in ["webhook.before_answers", "webhook.between_answers"] {
        let world = World::start(db.clone()).await;
        let mut env = world.env.clone();
        env.insert("COURIER_CRASH_AT".to_owned(), point.to_owned());
        let mut dying = Process::receive(&env).await;
        let body = |number| format!(r#"{{"id":"evt_{point}_{number}"}}"#).into_bytes();
        let url = dying.webhook.clone().unwrap();
        let posts = (0..50).map(|number| try_post(&url, body(number)));
        let answers = join_all(posts).await;
        let status = dying.ended().await;
        assert!(status.code().is_none(), "no crash at {point}: {status}\n{}", dying.logged());
        let stored = world.count("select count(*) from inbox_events where state = 'unread'").await;
        let accepted = answers.iter().filter(|answer| **answer == Some(200)).count();
        assert!(stored > 0, "a batch was committed");
        assert!(i64::try_from(accepted).unwrap() <= stored, "{accepted} answers, {stored} events");

        // Stripe sends again what it got no answer for.
        let process = Process::receive(&world.env).await;
        let url = process.webhook.clone().unwrap();
        for (number, _) in answers.iter().enumerate().filter(|(_, answer)| **answer != Some(200)) {
            assert_eq!(post(&url, body(number)).await, 200);
        }
        assert_eq!(world.count(EVENTS).await, 50, "{point}: each event is stored once");
        sqlx::query("truncate inbox_events, inbox_bodies").execute(&db).await.unwrap();
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_while_reading_an_event_rolls_everything_back(db: PgPool) {
    let world = World::start(db).await;
    for (delivered, point) in
        (0..).zip(["inbox.after_lock", "inbox.between_sets", "inbox.before_commit"])
    {
        let offer = world.crash_at(point).await;
        assert_eq!((world.count(UNREAD).await, world.count(LETTERS).await), (1, delivered));
        world.restart_and_deliver(&offer).await;
        assert_eq!(world.count(LETTERS).await, delivered + 1, "{point}");
        assert_eq!(i64::try_from(world.relay.letters().len()).unwrap(), delivered + 1, "{point}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_between_the_locks_and_the_writes_of_offers_rolls_back(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("offers.after_lock").await;
    assert_eq!((world.count(UNREAD).await, world.count(LETTERS).await), (1, 0));
    world.restart_and_deliver(&offer).await;
    assert_eq!((world.count(LETTERS).await, world.relay.letters().len()), (1, 1));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_after_reading_is_committed_reads_nothing_twice(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("inbox.after_commit").await;
    assert_eq!((world.count(UNREAD).await, world.count(LETTERS).await), (0, 1));
    world.restart_and_deliver(&offer).await;
    assert_eq!((world.count(LETTERS).await, world.relay.letters().len()), (1, 1));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_before_sending_leaves_the_job_to_another_worker(db: PgPool) {
    let world = World::start(db).await;
    for (letters, point) in (1..).zip(["letter.before_sending", "letters.before_sending_commit"]) {
        let offer = world.crash_at(point).await;
        world.expect_letter(&offer, "waiting").await;
        world.restart_and_deliver(&offer).await;
        assert_eq!(world.relay.letters().len(), letters, "{point}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_after_sending_is_committed_makes_the_letter_uncertain(db: PgPool) {
    let world = World::start(db).await;
    for (before, point) in (0..).zip(["letters.after_sending_commit", "letter.after_sending"]) {
        let offer = world.crash_at(point).await;
        world.expect_letter(&offer, "sending").await;
        assert_eq!(world.relay.letters().len(), before, "{point}");
        world.restart_and_deliver(&offer).await;
        assert_eq!(world.relay.letters().len(), before + 1, "{point}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_whose_hand_over_crashed_waits_for_the_end_of_a_pause(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("letter.after_sending").await;
    let said = run_ok(&world.db, &["pause", "--reason", "drill"]).await;
    assert!(said.contains("1 emails are being handed to the relay"), "{said}");
    let process = Process::serve(&world.env).await;
    let is_waiting = async || letter_state(&world.db, &offer).await.as_deref() == Some("waiting");
    eventually(|| process.logged(), is_waiting).await;
    let put_off = "select count(*) from jobs where state = 'queued' and attempt = 1
        and last_error = 'an operator paused sending'";
    eventually(|| process.logged(), async || world.count(put_off).await == 1).await;
    assert!(world.relay.letters().is_empty());
    assert_eq!(process.logged_lines("sending is paused").len(), 1, "{}", process.logged());

    run_ok(&world.db, &["resume", "--reason", "drill"]).await;
    let is_delivered = async || world.delivery_state(&offer).await.as_deref() == Some("delivered");
    eventually(|| process.logged(), is_delivered).await;
    assert_eq!(world.relay.letters().len(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_before_the_reply_is_recorded_resends_the_same_message(db: PgPool) {
    let world = World::start(db).await;
    for (before, point) in [(0, "letter.after_relay"), (2, "letters.before_sent_commit")] {
        let offer = world.crash_at(point).await;
        world.expect_letter(&offer, "sending").await;
        let reached = (world.relay.letters().len(), world.stripe.delivered_marks(&offer));
        assert_eq!(reached, (before + 1, 0), "{point}");
        world.restart_and_deliver(&offer).await;
        let letters = world.relay.letters().split_off(before);
        assert_eq!(letters.len(), 2, "{point}");
        assert_eq!(letters[0].header("Message-ID"), letters[1].header("Message-ID"));
        assert_eq!(letters[0].message().body_text(0), letters[1].message().body_text(0));
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_before_the_reply_is_recorded_can_hold_the_letter(db: PgPool) {
    let mut world = World::start(db).await;
    world.env.insert("COURIER_EMAIL__WHEN_UNCERTAIN".to_owned(), "hold".to_owned());
    let offer = world.crash_at("letter.after_relay").await;
    let process = Process::serve(&world.env).await;
    let is_held = async || letter_state(&world.db, &offer).await.as_deref() == Some("held");
    eventually(|| process.logged(), is_held).await;
    assert_eq!((world.relay.letters().len(), world.stripe.delivered_marks(&offer)), (1, 0));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_after_the_reply_leaves_the_mark_to_any_worker(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("letters.after_sent_commit").await;
    world.expect_letter(&offer, "sent").await;
    world.expect_delivery(&offer, "pending").await;
    world.restart_and_deliver(&offer).await;
    assert_eq!(world.relay.letters().len(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_after_stripe_acknowledged_repeats_the_idempotency_key(db: PgPool) {
    let world = World::start(db).await;
    for (letters, point) in (1..).zip(["mark.after_stripe", "marks.before_commit"]) {
        let offer = world.crash_at(point).await;
        world.expect_delivery(&offer, "pending").await;
        assert_eq!(world.stripe.delivered_marks(&offer), 1, "{point}");
        world.restart_and_deliver(&offer).await;
        let path = format!("{offer}/mark_delivered");
        let mut marks = world.stripe.requests();
        marks.retain(|call| call.path.ends_with(&path));
        assert_eq!(marks.len(), 2, "{point}");
        assert_eq!(marks[0].idempotency_key, marks[1].idempotency_key, "{point}");
        assert_eq!(world.relay.letters().len(), letters, "{point}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_after_the_mark_is_recorded_repeats_nothing(db: PgPool) {
    let world = World::start(db).await;
    let offer = world.crash_at("marks.after_commit").await;
    world.expect_delivery(&offer, "delivered").await;
    world.restart_and_deliver(&offer).await;
    let marks = world.stripe.requests().into_iter();
    assert_eq!(marks.filter(|call| call.path.ends_with("/mark_delivered")).count(), 1);
    assert_eq!(world.relay.letters().len(), 1);
}
