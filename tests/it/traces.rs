//! Traces, as a collector receives them from real processes.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use capital_courier::clock::Clock;
use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, Simulator, WebhookEndpoint, sign};

use crate::support::collector::{Collector, Mood, ReceivedSpan};
use crate::support::process::{self, Process};
use crate::support::smtp::{Step, Trouble};
use crate::support::wait::eventually;
use crate::support::{API_KEY, SECRET};

/// The kinds of the protocol.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const CONSUMER: i32 = 5;

fn traced(env: &HashMap<String, String>, endpoint: &str) -> HashMap<String, String> {
    let mut env = env.clone();
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_SERVICE_NAME", "courier-under-test"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    env
}

/// Lets Stripe announce an offer to this process. Returns the offer once its event is stored.
async fn announce(stripe: &Simulator, process: &Process) -> String {
    stripe.register_webhook(WebhookEndpoint {
        url: process.webhook.as_deref().expect("the process listens").parse().unwrap(),
        secrets: vec![SECRET.to_owned()],
        first_retry_after: Duration::from_millis(100),
        max_attempts: 1,
        copies: 1,
        max_delay: Duration::ZERO,
    });
    let account = NewAccount {
        name: Some("Jenny's Bakery".to_owned()),
        email: Some("jenny@bakery.example".to_owned()),
        country: None,
    };
    let offer = stripe.create_offer(&stripe.add_account(&account), &NewOffer::default());
    stripe.deliveries_finished().await;
    offer
}

/// Waits until the offer is marked as delivered at Stripe.
async fn delivered(db: &PgPool, offer: &str, process: &Process) {
    let is_delivered = async || {
        sqlx::query_scalar(
            "select exists (select from deliveries where offer_id = $1 and state = 'delivered')",
        )
        .bind(offer)
        .fetch_one(db)
        .await
        .unwrap()
    };
    eventually(|| process.logged(), is_delivered).await;
}

async fn stop(process: &mut Process) {
    process.signal("-TERM");
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.logged());
}

/// The only span of this name in the trace.
fn only<'a>(spans: &'a [ReceivedSpan], trace: &str, name: &str) -> &'a ReceivedSpan {
    let found: Vec<_> =
        spans.iter().filter(|span| span.trace == trace && span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_is_one_trace_across_processes(db: PgPool) {
    let collector = Collector::start(Mood::Accepts).await;
    let (stripe, _relay, env) = process::world(&db).await;
    let env = traced(&env, &collector.endpoint());

    let mut receiver = Process::receive(&env).await;
    let offer = announce(&stripe, &receiver).await;
    stop(&mut receiver).await;
    let mut worker = Process::work(&env).await;
    delivered(&db, &offer, &worker).await;
    stop(&mut worker).await;

    let spans = collector.spans();
    let webhook = spans.iter().find(|span| span.name == "POST /webhooks/stripe").unwrap();
    let one = |name| only(&spans, &webhook.trace, name);
    let (read, send, mark) = (one("read_event"), one("send_letter"), one("mark_delivered"));
    for (span, kind, parent) in [
        (webhook, SERVER, ""),
        (read, CONSUMER, &*webhook.id),
        (send, CONSUMER, &*read.id),
        (one("stripe account"), CLIENT, &*send.id),
        (one("smtp open"), CLIENT, &*send.id),
        (one("smtp send"), CLIENT, &*send.id),
        (mark, CONSUMER, &*send.id),
        (one("stripe mark_delivered"), CLIENT, &*mark.id),
    ] {
        assert_eq!((span.kind, &*span.parent), (kind, parent), "{span:#?}");
        assert!(!span.is_error, "{span:#?}");
    }
    for span in [read, send, mark] {
        assert_eq!(span.attributes["offer.id"], offer, "{span:#?}");
    }
    expect_attributes(&spans, &webhook.trace);
    expect_batch(&spans, webhook);
    expect_nothing_personal(&spans);
    assert!(worker.logged().contains(&webhook.trace), "{}", worker.logged());
}

fn expect_attributes(spans: &[ReceivedSpan], trace: &str) {
    for (span, key, value) in [
        ("POST /webhooks/stripe", "http.response.status_code", "200"),
        ("POST /webhooks/stripe", "http.route", "/webhooks/stripe"),
        ("read_event", "event.type", "capital.financing_offer.created"),
        ("send_letter", "job.kind", "send_letter"),
        ("send_letter", "job.attempt", "1"),
        ("send_letter", "job.outcome", "done"),
        ("smtp send", "network.protocol.name", "smtp"),
        ("smtp send", "server.address", "127.0.0.1"),
        ("stripe mark_delivered", "http.request.method", "POST"),
        ("stripe mark_delivered", "http.response.status_code", "200"),
    ] {
        let span = only(spans, trace, span);
        assert_eq!(span.attributes.get(key).map(String::as_str), Some(value), "{span:#?}");
    }
    let send = only(spans, trace, "send_letter");
    assert_eq!(send.attributes["letter.id"], send.attributes["job.subject"]);
    let instances: BTreeSet<_> =
        spans.iter().map(|span| span.resource["service.instance.id"].as_str()).collect();
    assert_eq!(instances.len(), 2, "one for each process");
    for span in spans {
        assert_eq!(span.resource["service.name"], "courier-under-test");
    }
}

/// A batch is a trace of its own that refers to the traces of its events.
fn expect_batch(spans: &[ReceivedSpan], webhook: &ReceivedSpan) {
    let batch = spans.iter().find(|span| span.links.contains(&webhook.id)).unwrap();
    assert_eq!((batch.name.as_str(), batch.parent.as_str()), ("read_batch", ""));
    assert_ne!(batch.trace, webhook.trace);
    assert_eq!(batch.attributes["inbox.events"], "1");
}

fn expect_nothing_personal(spans: &[ReceivedSpan]) {
    let all = format!("{spans:?}");
    for secret in ["Jenny", "jenny", "bakery.example", API_KEY, SECRET] {
        assert!(!all.contains(secret), "{secret}: {spans:#?}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_failed_attempt_and_the_next_are_in_one_trace(db: PgPool) {
    let collector = Collector::start(Mood::Accepts).await;
    let (stripe, relay, env) = process::world(&db).await;
    relay.fail(Step::Dot, Trouble::Say("451 4.3.0 jenny@bakery.example: later"), 1);
    let mut process = Process::serve(&traced(&env, &collector.endpoint())).await;
    let offer = announce(&stripe, &process).await;
    delivered(&db, &offer, &process).await;
    stop(&mut process).await;

    let spans = collector.spans();
    let attempts: Vec<_> = spans.iter().filter(|span| span.name == "send_letter").collect();
    let [failed, sent] = attempts[..] else { panic!("{attempts:#?}") };
    assert_eq!((&failed.trace, &failed.parent), (&sent.trace, &sent.parent));
    for (span, attempt, outcome, is_error) in
        [(failed, "1", "retry", true), (sent, "2", "done", false)]
    {
        assert_eq!(span.attributes["job.attempt"], attempt);
        assert_eq!((&*span.attributes["job.outcome"], span.is_error), (outcome, is_error));
    }
    let refused = spans.iter().find(|span| span.name == "smtp send" && span.is_error).unwrap();
    assert_eq!(refused.attributes["error.type"], "deferred");
    assert_eq!(refused.parent, failed.id);
    expect_nothing_personal(&spans);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_request_cannot_choose_its_trace(db: PgPool) {
    let collector = Collector::start(Mood::Accepts).await;
    let (_stripe, _relay, env) = process::world(&db).await;
    let mut receiver = Process::receive(&traced(&env, &collector.endpoint())).await;
    let url = receiver.webhook.clone().unwrap();
    let client = reqwest::Client::new();
    let foreign = "0af7651916cd43dd8448eb211c80319c";
    let body = br#"{"id":"evt_claims_a_trace","type":"something.new"}"#;
    let signature = sign(body, &[SECRET.to_owned()], Clock::system().now());
    for (signature, status) in [(signature.as_str(), 200), ("t=1,v1=00", 400)] {
        let request = client
            .post(&url)
            .header("Stripe-Signature", signature)
            .header("traceparent", format!("00-{foreign}-b7ad6b7169203331-01"))
            .body(&body[..]);
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    stop(&mut receiver).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "an unverified request leaves no span: {spans:#?}");
    assert_eq!((spans[0].name.as_str(), spans[0].parent.as_str()), ("POST /webhooks/stripe", ""));
    assert_ne!(spans[0].trace, foreign);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_failing_collector_delays_neither_webhooks_nor_the_shutdown(db: PgPool) {
    const GRACE: Duration = Duration::from_secs(2);
    let (_stripe, _relay, env) = process::world(&db).await;
    for mood in [Mood::Hangs, Mood::Refuses] {
        let collector = Collector::start(mood).await;
        let mut env = traced(&env, &collector.endpoint());
        env.insert("OTEL_BSP_MAX_QUEUE_SIZE".to_owned(), "4".to_owned());
        env.insert("OTEL_BSP_MAX_EXPORT_BATCH_SIZE".to_owned(), "2".to_owned());
        env.insert("COURIER_SHUTDOWN__GRACE".to_owned(), format!("{}s", GRACE.as_secs()));
        let mut receiver = Process::receive(&env).await;
        let url = receiver.webhook.clone().unwrap();
        let began = Instant::now();
        for number in 0..40 {
            let body = format!(r#"{{"id":"evt_{mood:?}_{number}","type":"something.new"}}"#);
            assert_eq!(process::post(&url, body.into_bytes()).await, 200);
        }
        // A single export that requests waited for would take ten seconds.
        assert!(began.elapsed() < Duration::from_secs(8), "{mood:?}: {:?}", began.elapsed());
        eventually(|| receiver.logged(), async || collector.exports() > 0).await;
        let stopping = Instant::now();
        stop(&mut receiver).await;
        let took = stopping.elapsed();
        assert!(took < GRACE + Duration::from_secs(3), "{mood:?}: {took:?}");
    }
    let stored: i64 =
        sqlx::query_scalar("select count(*) from inbox_events where traceparent <> ''")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(stored, 80, "events are stored whatever the collector does");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
#[ignore = "needs a collector at COURIER_TEST_OTLP_ENDPOINT"]
async fn a_real_collector_accepts_the_spans(db: PgPool) {
    let endpoint = std::env::var("COURIER_TEST_OTLP_ENDPOINT").unwrap();
    let (stripe, _relay, env) = process::world(&db).await;
    let mut process = Process::serve(&traced(&env, &endpoint)).await;
    let offer = announce(&stripe, &process).await;
    delivered(&db, &offer, &process).await;
    stop(&mut process).await;
    for complaint in ["cannot export traces", "stopped before all spans"] {
        assert!(!process.logged().contains(complaint), "{}", process.logged());
    }
}
