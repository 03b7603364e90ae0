//! What a process logs at startup.

use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind};

use crate::support::process::{Process, command, world};
use crate::support::wait::eventually;

/// Waits for a line at this level that contains `text`.
async fn expect_logged(process: &Process, level: &str, text: &str) {
    let matches = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        line["level"] == level && line.to_string().contains(text)
    };
    let context = || format!("no {level} contains `{text}`: {}", process.logged());
    eventually(context, async || process.logged().lines().any(matches)).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_rejected_stripe_key_is_logged_without_preventing_startup(db: PgPool) {
    let (_stripe, _relay, mut env) = world(&db).await;
    env.insert("STRIPE_API_KEY".to_owned(), "sk_test_wrong".to_owned());
    let process = Process::serve(&env).await;
    assert!(process.webhook.is_some(), "the process does not receive webhooks");
    expect_logged(&process, "ERROR", "Stripe rejects STRIPE_API_KEY (401)").await;
    let doctor = command(&["doctor"], &env).output().await.unwrap();
    let findings = String::from_utf8(doctor.stdout).unwrap();
    assert!(findings.contains("Stripe rejects STRIPE_API_KEY (401)"), "{findings}");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_startup_check_distinguishes_a_bad_key_from_unreachable_stripe(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    expect_logged(&Process::serve(&env).await, "INFO", "Stripe accepts STRIPE_API_KEY").await;
    let fail_with = |kind| {
        stripe.clear_faults();
        stripe.inject(Fault {
            method: "GET",
            path: "/v1/capital/financing_offers",
            times: u32::MAX,
            kind,
        });
    };
    fail_with(FaultKind::Error { status: 403, code: "more_permissions_required", headers: vec![] });
    expect_logged(&Process::serve(&env).await, "ERROR", "lacks a permission (403)").await;
    fail_with(FaultKind::DisconnectBefore);
    expect_logged(&Process::serve(&env).await, "WARN", "cannot check STRIPE_API_KEY").await;
    fail_with(FaultKind::ProxyPage { status: 401, headers: vec![] });
    expect_logged(&Process::serve(&env).await, "WARN", "does not come from Stripe").await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_first_lines_say_what_runs_and_what_is_missing(db: PgPool) {
    let (_stripe, relay, mut env) = world(&db).await;
    env.remove("COURIER_HTTP__PUBLIC_URL");
    let process = Process::serve(&env).await;
    let line = process.logged_lines("starting in test mode").remove(0);
    let database = url::Url::parse(&env["DATABASE_URL"]).unwrap();
    let (host, name) = (database.host_str().unwrap(), database.path());
    let location = line["database"].as_str().unwrap();
    assert!(location.starts_with(host) && location.ends_with(name), "{location}");
    assert_eq!(line["relay"], relay.url());
    assert!(!line.to_string().contains("password"), "{line}");
    assert_eq!(process.logged_lines("http.public_url is not set").len(), 1);
    let ready = process.logged_lines("ready (test mode)").remove(0);
    let message = ready["message"].as_str().unwrap();
    assert!(message.ends_with("/webhooks/stripe") && message.contains("http://127"), "{message}");
}
