//! `GET /metrics`: what each stage and outside call counts, and what the database says.

use std::collections::BTreeSet;

use capital_courier::queue;
use chrono::TimeDelta;
use regex::Regex;
use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind};

use crate::support::process::Outage;
use crate::support::scrape::Scrape;
use crate::support::smtp::{Step, Trouble};
use crate::support::{TestApp, as_service};

const RULES: &str = include_str!("../../../deploy/prometheus/rules.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/capital-courier.json");
const DOCUMENT: &str = include_str!("../../../docs/operations.md");
/// Its kinds and reasons are those of `operators::attention`; each is exported while something waits.
const ATTENTION: &str = "courier_attention";

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn metrics_for_alerts_are_exported(db: PgPool) {
    let app = TestApp::start(db).await;
    let before = app.scrape().await;
    before.expect("courier_last_event_timestamp_seconds", 0.0);
    before.expect("courier_last_complete_reconciliation_timestamp_seconds", 0.0);
    before.expect("courier_jobs_dead", 0.0);
    before.expect("courier_accounts_differing", 0.0);
    before.expect("courier_transactions_unreadable", 0.0);
    before.expect("courier_circuit_open{circuit=\"relay\"}", 0.0);
    app.stripe_sends(&app.created(&app.offer())).await.expect_kept();
    app.run_due_work().await;
    app.app.reconcile_now().await.unwrap();
    let sources = app.app.metric_sources();
    sources.circuits[1].failed_for_all();
    queue::enqueue(&app.db, "test", "a", app.clock.now()).await.unwrap();
    sqlx::query("update jobs set state = 'dead', finished_at = due_at where kind = 'test'")
        .execute(&app.db)
        .await
        .unwrap();
    let after = Scrape::of(sources).await;
    #[expect(clippy::cast_precision_loss, reason = "seconds fit")]
    let now = app.clock.now().timestamp() as f64;
    after.expect("courier_last_event_timestamp_seconds", now);
    after.expect("courier_last_complete_reconciliation_timestamp_seconds", now);
    after.expect("courier_jobs_dead", 1.0);
    after.expect("courier_circuit_open{circuit=\"relay\"}", 1.0);
    after.expect("courier_circuit_open{circuit=\"stripe\"}", 0.0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_delivered_offer_is_counted_once_at_each_stage(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let event = app.created(&offer);
    app.stripe_sends(&event).await.expect_kept();
    app.stripe_sends(&event).await.expect_kept();
    app.post(b"{}".to_vec(), Some("t=1,v1=00")).await.expect_refused(400, "bad_signature");
    app.clock.advance(TimeDelta::seconds(2));
    app.run_due_work().await;
    app.expect_delivered(&offer).await;

    let scrape = app.scrape().await;
    for (series, value) in [
        ("courier_webhook_requests_total{code=\"stored\"}", 1.0),
        ("courier_webhook_requests_total{code=\"duplicate\"}", 1.0),
        ("courier_webhook_requests_total{code=\"bad_signature\"}", 1.0),
        ("courier_webhook_requests_total{code=\"not_kept\"}", 0.0),
        ("courier_event_arrival_delay_seconds_count", 1.0),
        ("courier_inbox_events_total{outcome=\"read\"}", 1.0),
        ("courier_inbox_events_total{outcome=\"unreadable\"}", 0.0),
        ("courier_inbox_batch_duration_seconds_count", 1.0),
        ("courier_event_read_delay_seconds_sum", 2.0),
        ("courier_job_attempts_total{kind=\"send_letter\",outcome=\"done\"}", 1.0),
        ("courier_job_attempts_total{kind=\"send_letter\",outcome=\"retried\"}", 0.0),
        ("courier_job_attempts_total{kind=\"mark_delivered\",outcome=\"done\"}", 1.0),
        ("courier_job_attempt_duration_seconds_count{kind=\"send_letter\"}", 1.0),
        ("courier_stripe_requests_total{endpoint=\"mark_delivered\",outcome=\"ok\"}", 1.0),
        ("courier_smtp_connects_total{outcome=\"ok\"}", 1.0),
        ("courier_smtp_messages_total{outcome=\"sent\"}", 1.0),
        ("courier_smtp_message_duration_seconds_count", 1.0),
        ("courier_letters_total{outcome=\"sent\"}", 1.0),
        ("courier_letter_wait_seconds_count", 1.0),
        ("courier_deliveries_total{outcome=\"acknowledged\"}", 1.0),
        ("courier_delivery_wait_seconds_count", 1.0),
        ("courier_offers_open{status=\"delivered\"}", 1.0),
        ("courier_offers_open{status=\"undelivered\"}", 0.0),
        ("courier_database_up", 1.0),
    ] {
        scrape.expect(series, value);
    }
    let requests = "courier_http_requests_total{route=\"/webhooks/stripe\",method=\"POST\"";
    scrape.expect(&format!("{requests},status=\"2xx\"}}"), 2.0);
    scrape.expect(&format!("{requests},status=\"4xx\"}}"), 1.0);
    for secret in [offer.as_str(), "acct_", "evt_", "letter_0", "@"] {
        assert!(!scrape.0.contains(secret), "a label contains {secret}:\n{}", scrape.0);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn failures_are_counted_by_what_they_mean(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let kind = FaultKind::Error { status: 503, code: "api_error", headers: vec![] };
    app.stripe.inject(Fault { method: "POST", path: "mark_delivered", times: 1, kind });
    app.relay.fail(Step::Rcpt(0), Trouble::Say("451 4.3.0 try again later"), 1);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    // The relay accepts the message of the second attempt and does not say so.
    app.relay.fail(Step::Dot, Trouble::TakeAndDrop, 1);
    app.after(TimeDelta::seconds(5)).await;
    app.after(TimeDelta::seconds(10)).await;
    app.after(TimeDelta::seconds(10)).await;

    let nobody = app.offer_to(None);
    app.stripe_sends(&app.created(&nobody)).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&nobody, "held", Some("no_recipient")).await;

    let scrape = app.scrape().await;
    for (series, value) in [
        ("courier_smtp_messages_total{outcome=\"deferred\"}", 1.0),
        ("courier_smtp_messages_total{outcome=\"unknown\"}", 1.0),
        ("courier_smtp_messages_total{outcome=\"sent\"}", 1.0),
        ("courier_letters_total{outcome=\"unknown\"}", 1.0),
        ("courier_letters_total{outcome=\"retried\"}", 2.0),
        ("courier_letters_total{outcome=\"held\"}", 1.0),
        ("courier_job_attempts_total{kind=\"send_letter\",outcome=\"retried\"}", 2.0),
        ("courier_job_attempts_total{kind=\"send_letter\",outcome=\"done\"}", 2.0),
        ("courier_stripe_requests_total{endpoint=\"mark_delivered\",outcome=\"5xx\"}", 1.0),
        ("courier_stripe_requests_total{endpoint=\"mark_delivered\",outcome=\"ok\"}", 1.0),
        ("courier_job_attempts_total{kind=\"mark_delivered\",outcome=\"retried\"}", 1.0),
    ] {
        scrape.expect(series, value);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_job_whose_worker_died_is_counted_as_taken_over(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    // As a process leaves it that died before it began to send.
    sqlx::query(
        "update jobs set state = 'claimed', attempt = 1, lease_token = gen_random_uuid(),
             leased_until = due_at
         where kind = 'send_letter'",
    )
    .execute(&app.db)
    .await
    .unwrap();
    // Longer than any lease since the start, before which none counts as expired.
    app.after(TimeDelta::minutes(10)).await;
    let scrape = app.scrape().await;
    scrape.expect("courier_jobs_taken_over_total{kind=\"send_letter\"}", 1.0);
    scrape.expect("courier_jobs_taken_over_total{kind=\"mark_delivered\"}", 0.0);
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_waits_is_shown_with_its_age(db: PgPool) {
    let app = TestApp::start(db).await;
    let start = app.clock.now();
    let idle = app.scrape().await;
    for series in [
        "courier_inbox_oldest_unread_timestamp_seconds",
        "courier_letters_oldest_waiting_timestamp_seconds",
        "courier_deliveries_oldest_waiting_timestamp_seconds",
        "courier_jobs_oldest_due_timestamp_seconds{kind=\"send_letter\"}",
    ] {
        assert_eq!(idle.value(series), None, "nothing waits");
    }
    app.stripe_sends(&app.created(&app.offer())).await.expect_kept();
    #[expect(clippy::cast_precision_loss, reason = "seconds fit")]
    let began = start.timestamp() as f64;
    let unread = app.scrape().await;
    unread.expect("courier_inbox_unread", 1.0);
    unread.expect("courier_inbox_oldest_unread_timestamp_seconds", began);

    app.app.read_inbox().await.unwrap();
    app.relay.fail(Step::Connect, Trouble::Drop, u32::MAX);
    for _ in 0..20 {
        app.after(TimeDelta::minutes(1)).await;
    }
    let waiting = app.scrape().await;
    waiting.expect("courier_inbox_unread", 0.0);
    waiting.expect("courier_jobs_queued{kind=\"send_letter\",priority=\"normal\"}", 1.0);
    waiting.expect("courier_jobs_queued{kind=\"send_letter\",priority=\"low\"}", 0.0);
    // However often it was tried and postponed.
    waiting.expect("courier_letters_oldest_waiting_timestamp_seconds", began);
    waiting.expect("courier_circuit_open{circuit=\"relay\"}", 1.0);
    app.relay.heal();
    app.after(TimeDelta::hours(1)).await;
    let done = app.scrape().await;
    assert_eq!(done.value("courier_letters_oldest_waiting_timestamp_seconds"), None);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_the_database_the_process_still_shows_what_it_counted(db: PgPool) {
    let app = TestApp::start(db).await;
    app.stripe_sends(&app.created(&app.offer())).await.expect_kept();
    app.run_due_work().await;
    let outage = Outage::begin(&app.db).await;
    let scrape = app.scrape().await;
    scrape.expect("courier_database_up", 0.0);
    scrape.expect("courier_letters_total{outcome=\"sent\"}", 1.0);
    assert_eq!(scrape.value("courier_jobs_dead"), None, "unknown is not zero");
    assert!(scrape.value("process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    outage.end().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_services_own_role_may_read_the_metrics(db: PgPool) {
    let app = TestApp::start(db).await;
    let as_role = as_service(&app.db).await;
    let sources =
        capital_courier::web::ops::Sources { db: as_role.into(), ..app.app.metric_sources() };
    Scrape::of(sources).await.expect("courier_database_up", 1.0);
    app.finish().await;
}

/// Scrapes at moments that together have every series that rules and dashboard may name.
async fn every_series(app: &TestApp) -> Scrape {
    let offer = app.offer();
    let kind = FaultKind::Error { status: 401, code: "api_key_expired", headers: vec![] };
    app.stripe.inject(Fault { method: "", path: "/v1/", times: 1, kind });
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    // The event is unread, then the letter waits, then the delivery.
    let mut scrapes = app.scrape().await.0;
    app.app.read_inbox().await.unwrap();
    scrapes += &app.scrape().await.0;
    app.run_due_work().await;
    let kind = FaultKind::Error { status: 503, code: "api_error", headers: vec![] };
    app.stripe.inject(Fault { method: "POST", path: "mark_delivered", times: 1, kind });
    app.after(TimeDelta::minutes(6)).await;
    scrapes += &app.scrape().await.0;
    app.after(TimeDelta::minutes(10)).await;
    app.expect_delivered(&offer).await;
    // A letter that waits for an operator, and a request that fails.
    app.stripe_sends(&app.created(&app.offer_to(None))).await.expect_kept();
    app.run_due_work().await;
    scrapes += &app.scrape().await.0;
    let outage = Outage::begin(&app.db).await;
    app.stripe_sends(&app.created(&offer)).await.expect_refused(503, "not_kept");
    outage.end().await;
    let last = app.scrape().await.0;
    // For `promtool check metrics` in scripts/check-rules.
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/metrics.txt");
    std::fs::write(file, &last).unwrap();
    Scrape(scrapes + &last)
}

/// Rules and dashboard name only what a scrape contains, and the document all of it.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn rules_dashboard_and_document_name_the_metrics_that_exist(db: PgPool) {
    let app = TestApp::start(db).await;
    let scrape = every_series(&app).await;
    let (names, labels) = scrape.names_and_labels();

    let name = Regex::new("(?:courier|process)_[a-z_]+[a-z]").unwrap();
    let selector = Regex::new(r"((?:courier|process)_[a-z_]+)\{([^}]*)\}").unwrap();
    let label = Regex::new(r#"([a-z]+)(=~?)\\?"([^"\\]*)\\?""#).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    for text in [RULES.to_owned(), expressions(&dashboard).join("\n")] {
        assert!(name.is_match(&text));
        for found in name.find_iter(&text).map(|found| found.as_str()) {
            assert!(names.contains(found), "{found} is not exported");
        }
        for found in selector.captures_iter(&text) {
            let metric = found.get(1).unwrap().as_str();
            for pair in label.captures_iter(found.get(2).unwrap().as_str()) {
                let (key, values) = (&pair[1], &pair[3]);
                if metric.starts_with(ATTENTION) || ["job", "instance"].contains(&key) {
                    continue;
                }
                let is_exported =
                    |value: &str| labels.contains(&(metric, format!("{key}=\"{value}\"").as_str()));
                assert!(values.split('|').any(is_exported), "{metric} has no {key} in {values}");
            }
        }
    }
    let families: BTreeSet<&str> = Regex::new("(?m)^# TYPE (courier_[a-z_]+)")
        .unwrap()
        .captures_iter(&scrape.0)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    for family in families {
        assert!(DOCUMENT.contains(&format!("`{family}")), "docs/operations.md lacks {family}");
    }
    app.finish().await;
}

/// The expressions of all panels and variables.
fn expressions(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value.as_str() {
                Some(text) if ["expr", "query", "definition"].contains(&key.as_str()) => {
                    vec![text.to_owned()]
                }
                _ => expressions(value),
            })
            .collect(),
        serde_json::Value::Array(values) => values.iter().flat_map(expressions).collect(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => Vec::new(),
    }
}
