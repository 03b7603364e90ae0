//! What a process says at its start, although there is nothing to do yet.

use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind};

use crate::support::process::{Process, command, world};
use crate::support::wait::eventually;

/// Waits for a line at this level that says this.
async fn expect_logged(process: &Process, level: &str, words: &str) {
    let is_there = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        line["level"] == level && line.to_string().contains(words)
    };
    let context = || format!("no {level} says `{words}`: {}", process.logged());
    eventually(context, async || process.logged().lines().any(is_there)).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_key_that_stripe_does_not_accept_is_reported_at_the_start_and_holds_up_nothing(
    db: PgPool,
) {
    let (_stripe, _relay, mut env) = world(&db).await;
    env.insert("STRIPE_API_KEY".to_owned(), "sk_test_wrong".to_owned());
    let process = Process::serve(&env).await;
    assert!(process.webhook.is_some(), "webhooks are received all the same");
    expect_logged(&process, "ERROR", "Stripe rejects STRIPE_API_KEY (401)").await;
    let doctor = command(&["doctor"], &env).output().await.unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.contains("Stripe rejects STRIPE_API_KEY (401)"), "{said}");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_key_without_permission_and_a_stripe_that_is_not_reached_are_told_apart(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    expect_logged(&Process::serve(&env).await, "INFO", "Stripe accepts STRIPE_API_KEY").await;
    let fails = |trouble| {
        stripe.clear_faults();
        stripe.inject(Fault {
            method: "GET",
            path: "/v1/capital/financing_offers",
            times: u32::MAX,
            kind: trouble,
        });
    };
    fails(FaultKind::Error { status: 403, code: "more_permissions_required", headers: vec![] });
    expect_logged(&Process::serve(&env).await, "ERROR", "lacks a permission (403)").await;
    fails(FaultKind::DisconnectBefore);
    expect_logged(&Process::serve(&env).await, "WARN", "cannot check STRIPE_API_KEY").await;
    fails(FaultKind::ProxyPage { status: 401, headers: vec![] });
    expect_logged(&Process::serve(&env).await, "WARN", "does not come from Stripe").await;
}
