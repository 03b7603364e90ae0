//! A batch has the effect of its events one after the other, whatever its size and however many
//! readers share the inbox.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use capital_courier::app::App;
use capital_courier::flow::inbox::READERS;
use capital_courier::flow::inbox::store::{Share, lock_share};
use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sqlx::{Executor, PgPool};
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{TestApp, day_one};

const ACCOUNTS: usize = 4;
const OFFERS: usize = 8;
const TRANSACTIONS: usize = 24;

/// What happens to the inbox, in order.
enum Step {
    Store(Value),
    /// Every event is read before the next step.
    Read,
    /// An operator replays the event, if it has a body.
    Replay(String),
}

struct Dice(StdRng);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.choose(&mut self.0).unwrap()
    }

    /// Longer than an index entry may be, even compressed.
    fn unstorable(&mut self) -> String {
        (0..20_000).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap())).collect()
    }

    fn offer(&mut self) -> Value {
        let number = self.below(OFFERS);
        let terms = json!({
            "advance_amount": 100_000 * (1 + self.below(2)), "fee_amount": 10_000, "currency": "usd",
            "withhold_rate": 0.15, "campaign_type": "newly_eligible_user",
        });
        let statuses = [
            "undelivered",
            "undelivered",
            "undelivered",
            "delivered",
            "accepted",
            "paid_out",
            "fully_repaid",
            "expired",
            "canceled",
            "rejected",
            "revoked",
            "replaced",
            "new_word",
        ];
        let mut offer = json!({
            "id": format!("financingoffer_{number}"), "object": "capital.financing_offer",
            "account": format!("acct_{}", number % ACCOUNTS), "created": day_one().timestamp(),
            "livemode": false, "status": self.pick(&statuses), "offered_terms": terms,
            "expires_after": day_one().timestamp() + 2_000_000, "financing_type": "flex_loan",
            "product_type": "standard", "note": "a\u{0}b",
        });
        if self.one_in(6) {
            offer.as_object_mut().unwrap().remove("offered_terms");
        }
        if self.one_in(6) {
            offer["replacement_for"] = format!("financingoffer_{}", self.below(OFFERS)).into();
        }
        if self.one_in(6) {
            offer["replacement"] = format!("financingoffer_{}", self.below(OFFERS)).into();
        }
        if self.one_in(20) {
            offer["status"] = self.unstorable().into();
        }
        offer
    }

    fn transaction(&mut self) -> Value {
        let number = self.below(TRANSACTIONS);
        // An offer of the same account, which may be unknown.
        let offer = number % ACCOUNTS + ACCOUNTS * self.below(OFFERS);
        let kind = ["payout", "payment", "reversal", "adjustment"][number / 4 % 4];
        let mut transaction = json!({
            "id": format!("cptxn_{number:02}"), "object": "capital.financing_transaction",
            "account": format!("acct_{}", number % ACCOUNTS), "livemode": false, "type": kind,
            "created_at": day_one().timestamp(),
            "financing_offer": (offer < 2 * OFFERS).then(|| format!("financingoffer_{offer}")),
            "details": {"advance_amount": 1_000, "fee_amount": 100, "total_amount": 1_100,
                        "currency": "USD", "reason": null,
                        "transaction": {"charge": "py_1"}},
        });
        if kind == "reversal" {
            // A payout of the same account.
            transaction["details"]["reversed_transaction"] =
                format!("cptxn_{:02}", (number + 8) % TRANSACTIONS).into();
        }
        if self.one_in(25) {
            transaction["type"] = self.unstorable().into();
        }
        transaction
    }

    fn event(&mut self, number: usize) -> Value {
        let (kind, object) = match self.below(20) {
            0 => ("capital.something_new.created".to_owned(), self.offer()),
            1 => ("charge.succeeded".to_owned(), json!({"id": "ch_1", "account": "acct_0"})),
            2 => ("v2.core.health.event_generation_failure.resolved".to_owned(), json!({})),
            3 => {
                let mut odd = self.offer();
                let field = self.pick(&["id", "account", "status"]);
                odd[field] = json!(7);
                ("capital.financing_offer.accepted".to_owned(), odd)
            }
            4..=11 => {
                let offer = self.offer();
                let status = offer["status"].as_str().unwrap().to_owned();
                let kind = if status == "undelivered" {
                    self.pick(&["created", "created", "created", "replacement_created", "odd"])
                } else {
                    status.get(..40).unwrap_or(&status)
                };
                (format!("capital.financing_offer.{kind}"), offer)
            }
            _ => ("capital.financing_transaction.created".to_owned(), self.transaction()),
        };
        let created = day_one().timestamp() + i64::try_from(self.below(4)).unwrap();
        let mut event = json!({
            "id": format!("evt_{number}"), "object": "event", "type": kind, "created": created,
            "livemode": self.one_in(25), "api_version": "2026-10-28",
            "data": {"object": object},
        });
        if self.one_in(30) {
            event["account"] = "acct_1".into();
        }
        if self.one_in(40) {
            event["data"] = json!([]);
        }
        event
    }
}

fn scenario(seed: u64, events: usize) -> Vec<Step> {
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let mut steps = Vec::new();
    let mut told: Vec<Value> = Vec::new();
    for number in 0..events {
        // Some events repeat an earlier one under an id of their own.
        let again = if dice.one_in(6) { told.choose(&mut dice.0).cloned() } else { None };
        let event = match again {
            Some(mut again) => {
                again["id"] = format!("evt_{number}").into();
                again
            }
            None => dice.event(number),
        };
        told.push(event.clone());
        steps.push(Step::Store(event));
        if dice.one_in(30) {
            steps.push(Step::Read);
            for _ in 0..dice.below(4) {
                steps.push(Step::Replay(format!("evt_{}", dice.below(number + 1))));
            }
        }
    }
    steps.push(Step::Read);
    steps
}

/// Runs the steps and returns what they leave in the database, which is empty again after it.
async fn run(app: &TestApp, steps: &[Step], readers: &[&App]) -> Vec<String> {
    let begun_at = app.clock.now();
    for step in steps {
        match step {
            Step::Store(event) => app.stripe_sends(event).await.expect_kept(),
            Step::Replay(id) => {
                let mut db = app.db.acquire().await.unwrap();
                capital_courier::flow::inbox::store::replay(&mut *db, id).await.unwrap();
            }
            Step::Read => {
                read_all(app, readers).await;
                app.clock.advance(TimeDelta::minutes(1));
            }
        }
    }
    let contents = contents(&app.db).await;
    app.clock.advance(begun_at - app.clock.now());
    empty(&app.db).await;
    contents
}

/// Deletes what [`contents`] returns.
async fn empty(db: &PgPool) {
    db.execute(
        "begin; set local session_replication_role = replica;
         truncate inbox_events, inbox_bodies, financing_offers, timeline_entries, letters, jobs,
             financing_transactions, transaction_backfills restart identity cascade;
         commit",
    )
    .await
    .unwrap();
}

async fn read_all(app: &TestApp, readers: &[&App]) {
    while app.events_in_state("unread").await > 0 {
        let reads = readers.iter().map(|reader| reader.read_inbox());
        futures_util::future::try_join_all(reads).await.unwrap();
    }
}

/// All rows that reading writes, without the ids that are assigned at random or in sequence.
async fn contents(db: &PgPool) -> Vec<String> {
    let mut contents = Vec::new();
    for query in [
        "select row_to_json(t)::text from inbox_events t order by event_id",
        "select row_to_json(t)::text from financing_offers t order by offer_id",
        "select row_to_json(t)::text from financing_transactions t order by transaction_id",
        // The order within an account is that of its events.
        "select row_to_json(t)::text from timeline_entries t
         order by account_id, case when account_id is null then event_id end, timeline_entry_id",
        "select row_to_json(t)::text from letters t order by offer_id, sequence",
        "select row_to_json(t)::text from jobs t
         left join letters on t.kind = 'send_letter' and letter_id = t.subject
         order by t.kind, coalesce(offer_id, t.subject)",
    ] {
        let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(db).await.unwrap();
        contents.extend(rows.iter().map(|row| {
            let mut row: Value = serde_json::from_str(row).unwrap();
            for assigned in
                ["arrival", "timeline_entry_id", "letter_id", "message_id", "job_id", "traceparent"]
            {
                row.as_object_mut().unwrap().remove(assigned);
            }
            row.to_string()
        }));
    }
    let letters: Vec<(String, String)> =
        sqlx::query_as("select letter_id, offer_id from letters").fetch_all(db).await.unwrap();
    let letters: HashMap<_, _> = letters.into_iter().collect();
    contents.into_iter().map(|row| named(&row, &letters)).collect()
}

/// Replaces ids of letters by their offers.
fn named(row: &str, letters: &HashMap<String, String>) -> String {
    const ID: usize = "letter_".len() + 32;
    let mut named = String::new();
    let mut rest = row;
    while let Some(at) = rest.find("letter_") {
        let (before, found) = rest.split_at(at);
        named.push_str(before);
        let id = found.get(..ID).filter(|id| letters.contains_key(*id));
        let length = id.map_or("letter_".len(), str::len);
        named.push_str(id.map_or("letter_", |id| &letters[id]));
        rest = &found[length..];
    }
    named.push_str(rest);
    named
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_batch_has_the_effect_of_its_events_one_by_one(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_INBOX__BATCH_SIZE", "1")]).await;
    for seed in 0..5 {
        let steps = scenario(seed, 90);
        let expected = run(&app, &steps, &[&app.app]).await;
        let size = ["2", "7", "30", "1000"].choose(&mut StdRng::seed_from_u64(seed)).unwrap();
        let reader = app.another_with(&[("COURIER_INBOX__BATCH_SIZE", size)]);
        let other = app.another_with(&[("COURIER_INBOX__BATCH_SIZE", "3")]);
        for readers in [&[&reader][..], &[&reader, &other]] {
            let found = run(&app, &steps, readers).await;
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "seed {seed}, batches of {size}");
            }
            assert_eq!(found.len(), expected.len(), "seed {seed}, batches of {size}");
        }
    }
    app.finish().await;
}

/// All events of a round are about one transaction, and the database rejects the first of them. If
/// another one is read before it, the first one finds the transaction stored and is not rejected.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_part_of_a_batch_overtakes_one_that_another_reader_kept_it_from(db: PgPool) {
    let app = TestApp::start(db).await;
    let rejected = Dice(StdRng::seed_from_u64(1)).unstorable();
    let is_read = AtomicBool::new(false);
    // Another process has the shares for a moment, again and again.
    let other = async {
        while !is_read.load(Ordering::Relaxed) {
            let mut tx = app.db.begin().await.unwrap();
            for share in Share::all(READERS) {
                lock_share(&mut tx, share).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            tx.rollback().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let reading = async {
        for round in 0..20 {
            for number in 0..8 {
                let kind = if number == 0 { rejected.as_str() } else { "payment" };
                app.stripe_sends(&transaction_event(round, number, kind)).await.expect_kept();
            }
            while app.events_in_state("unread").await > 0 {
                app.app.read_inbox().await.unwrap();
            }
            assert_eq!(app.events_in_state("unreadable").await, round + 1, "an event overtook");
        }
        is_read.store(true, Ordering::Relaxed);
    };
    tokio::join!(reading, other);
    app.abandon();
}

/// An event about the transaction of a round.
fn transaction_event(round: i64, number: usize, kind: &str) -> Value {
    json!({
        "id": format!("evt_{round}_{number}"), "object": "event", "created": day_one().timestamp(),
        "type": "capital.financing_transaction.created", "livemode": false,
        "data": {"object": {
            "id": format!("cptxn_{round}"), "object": "capital.financing_transaction",
            "account": "acct_1", "livemode": false, "type": kind,
            "created_at": day_one().timestamp(), "financing_offer": "financingoffer_1",
            "details": {"advance_amount": 1_000, "fee_amount": 100, "total_amount": 1_100,
                        "currency": "usd", "reason": null, "transaction": {"charge": "py_1"}},
        }},
    })
}

/// Events about this many accounts, of each kind that reading knows.
fn events_of(accounts: usize) -> Vec<Value> {
    let event = |id: String, kind: &str, object: Value| {
        json!({"id": format!("evt_{id}"), "object": "event", "type": kind, "livemode": false,
               "created": day_one().timestamp(), "data": {"object": object}})
    };
    let mut events = Vec::new();
    for number in 0..accounts {
        let account = format!("acct_{number}");
        let id = format!("financingoffer_{number}");
        for status in ["undelivered", "expired", "accepted"] {
            let kind = if status == "undelivered" { "created" } else { status };
            let offer = json!({"id": id, "account": account, "livemode": false, "status": status,
                "created": day_one().timestamp(), "replacement_for": "financingoffer_old"});
            let kind = format!("capital.financing_offer.{kind}");
            events.push(event(format!("{status}_{number}"), &kind, offer));
        }
        for (kind, reversed) in [("payout", None), ("payment", None), ("reversal", Some("payout"))]
        {
            let transaction = json!({
                "id": format!("cptxn_{kind}_{number}"), "account": account, "livemode": false,
                "type": kind, "created_at": day_one().timestamp(), "financing_offer": id,
                "details": {"total_amount": 1, "currency": "usd", "reversed_transaction":
                    reversed.map(|kind| format!("cptxn_{kind}_{number}"))},
            });
            let name = "capital.financing_transaction.created";
            events.push(event(format!("{kind}_{number}"), name, transaction));
        }
        events.push(event(
            format!("new_{number}"),
            "capital.new.kind",
            json!({"account": account}),
        ));
    }
    events
}

/// Counts what sqlx logs.
#[derive(Clone, Default)]
struct StatementCounter(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for StatementCounter {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_statements_of_a_batch_do_not_depend_on_its_size(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_INBOX__BATCH_SIZE", "10000")]).await;
    let counter = StatementCounter::default();
    let counted = tracing_subscriber::registry().with(counter.clone());
    // With a single subscriber, tracing asks the thread that meets a log statement first: it may be
    // another test's, which has none, and would switch the statement off for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _counting = tracing::subscriber::set_default(counted);
    let mut statements = Vec::new();
    for accounts in [20, 150] {
        for event in &events_of(accounts) {
            app.stripe_sends(event).await.expect_kept();
        }
        counter.0.store(0, Ordering::Relaxed);
        assert_eq!(app.app.read_inbox().await.unwrap(), 7 * accounts);
        statements.push(counter.0.load(Ordering::Relaxed));
        empty(&app.db).await;
    }
    // Two readers, each with its transaction.
    assert!(statements[0] == statements[1] && (20..80).contains(&statements[0]), "{statements:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
#[ignore = "a measurement: prints how many events are read per second"]
async fn measure_reading(db: PgPool) {
    let events: i64 =
        std::env::var("EVENTS").ok().and_then(|given| given.parse().ok()).unwrap_or(20_000);
    let size = std::env::var("BATCH").unwrap_or_else(|_| "500".to_owned());
    let app = TestApp::start_with(db, &[("COURIER_INBOX__BATCH_SIZE", &size)]).await;
    for (what, kind, object) in [
        ("transactions", "capital.financing_transaction.created", TRANSACTION),
        ("offers", "capital.financing_offer.created", OFFER),
    ] {
        sqlx::query(PRELOAD).bind(events).bind(kind).bind(object).execute(&app.db).await.unwrap();
        sqlx::query("analyze").execute(&app.db).await.unwrap();
        let started = std::time::Instant::now();
        while app.app.read_inbox().await.unwrap() > 0 {}
        let rate = events * 1000 / i64::try_from(started.elapsed().as_millis()).unwrap();
        println!("{what}: {rate} events per second, in batches of {size}");
        assert_eq!(app.events_in_state("read").await, events);
        empty(&app.db).await;
    }
    app.abandon();
}

/// Events with `#` in the object replaced by their number, and `@` by one of a thousand accounts.
const PRELOAD: &str = r#"
    with new as (
        select 'evt_' || n as event_id, $2 as kind, 'acct_' || n % 1000 as account,
            replace(replace($3, '#', n::text), '@', (n % 1000)::text) as object
        from generate_series(1, $1) as n
    ), events as (
        insert into inbox_events
            (event_id, event_type, object_id, account_id, livemode, created_at, received_at)
        select event_id, kind, object::json ->> 'id', account, false, now(), now() from new
    )
    insert into inbox_bodies (received_on, event_id, body)
    select (now() at time zone 'UTC')::date, event_id, convert_to(
        '{"id": "' || event_id || '", "object": "event", "api_version": "2026-10-28", "created":
        1795521600, "livemode": false, "type": "' || kind || '", "pending_webhooks": 1, "data":
        {"object": ' || object || '}}', 'UTF8')
    from new
"#;

const TRANSACTION: &str = r#"{
    "id": "cptxn_#", "object": "capital.financing_transaction", "account": "acct_@",
    "created_at": 1795521600, "livemode": false, "financing_offer": "financingoffer_@",
    "type": "payment", "user_facing_description": "Paydown of your loan from a sale",
    "legacy_balance_transaction_source": null,
    "details": {
        "advance_amount": 1000, "fee_amount": 100, "total_amount": 1100, "currency": "usd",
        "linked_payment": "py_#", "reason": "automatic_withholding", "reversed_transaction": null,
        "transaction": {"charge": "ch_#", "treasury_transaction": null}
    }
}"#;

const OFFER: &str = r#"{
    "id": "financingoffer_#", "object": "capital.financing_offer", "account": "acct_@",
    "accepted_terms": null, "charged_off_at": null, "created": 1795521600,
    "expires_after": 1798113600, "financing_type": "flex_loan", "livemode": false,
    "disclaimer_variant": "us_celtic_flex_loan", "metadata": {}, "product_type": "standard",
    "offered_terms": {
        "advance_amount": 100000, "campaign_type": "newly_eligible_user", "currency": "usd",
        "fee_amount": 10000, "previous_financing_fee_discount_rate": null, "withhold_rate": 0.15
    },
    "status": "undelivered", "status_transitions": {}, "type": "flex_loan"
}"#;
