//! `doctor`: what it finds, and that a problem does not hide the others.

use std::collections::HashMap;
use std::path::Path;

use capital_courier::checks::{Check, CheckParts, CheckStatus, DatabasePart, run_checks};
use capital_courier::clock::Clock;
use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind, NewAccount, Options, Simulator, TimeSource};

use crate::support::process::{command, url_of, world};
use crate::support::smtp::{Relay, Step, Trouble};
use crate::support::{TestApp, as_service, environment};

/// What a run of `doctor` prints.
struct Report {
    status: i32,
    text: String,
    log: String,
}

impl Report {
    async fn run(env: &HashMap<String, String>) -> Self {
        let output = command(&["doctor"], env).output().await.unwrap();
        Self {
            status: output.status.code().unwrap(),
            text: String::from_utf8(output.stdout).unwrap(),
            log: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Whether a line with this status and name contains `text`.
    fn has(&self, status: &str, name: &str, text: &str) -> bool {
        self.text.lines().any(|line| {
            line.strip_prefix(status).is_some_and(|line| line.trim_start().starts_with(name))
                && line.contains(text)
        })
    }

    fn expect(&self, status: &str, name: &str, text: &str) {
        assert!(self.has(status, name, text), "no {status} {name} with `{text}`: {}", self.text);
    }
}

/// The check with this name and text.
fn find<'a>(all: &'a [Check], name: &str, text: &str) -> &'a Check {
    let mut named = all.iter().filter(|check| check.name == name && check.text.contains(text));
    named.next().unwrap_or_else(|| panic!("no {name} with `{text}`: {all:#?}"))
}

/// Checks the database alone.
async fn check_database(db: &PgPool, migrates_on_start: bool) -> Vec<Check> {
    let pool = db.clone().into();
    let parts = CheckParts {
        clock: Clock::system(),
        database: Some(DatabasePart { pool, is_embedded: false, migrates_on_start }),
        webhook_secrets: Vec::new(),
        stripe: None,
        email: None,
        relay: None,
        wording: None,
        public_url: None,
    };
    run_checks(&parts).await
}

#[sqlx::test(migrations = false)]
async fn a_new_database_is_no_problem_and_an_old_one_is_named(db: PgPool) {
    let status = async |migrates_on_start, text: &str| {
        let all = check_database(&db, migrates_on_start).await;
        find(&all, "database", text).status
    };
    let new = "new database: `serve` creates the schema";
    assert_eq!(status(true, new).await, CheckStatus::Ok);
    assert_eq!(status(false, "new database without a schema").await, CheckStatus::Warn);

    capital_courier::MIGRATOR.run(&db).await.unwrap();
    assert_eq!(status(false, "writable, schema current").await, CheckStatus::Ok);
    let newest = "delete from _sqlx_migrations where version = \
                  (select max(version) from _sqlx_migrations)";
    sqlx::query(newest).execute(&db).await.unwrap();
    assert_eq!(status(false, "older than this version").await, CheckStatus::Wrong);
    assert_eq!(status(true, "`serve` brings it up to date").await, CheckStatus::Warn);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_rejected_key_and_a_refusing_relay_are_problems(db: PgPool) {
    let (_stripe, relay, mut env) = world(&db).await;
    env.insert("STRIPE_API_KEY".to_owned(), "sk_test_wrong".to_owned());
    relay.fail(Step::Connect, Trouble::Say("554 5.3.2 not here"), 100);
    let report = Report::run(&env).await;
    assert_eq!(report.status, 1);
    report.expect("WRONG", "Stripe", "401");
    report.expect("WRONG", "relay", "554");
    let last = report.text.lines().last().unwrap();
    assert!(last.starts_with("2 problems, "), "{last}");
    assert!(!report.text.contains("sk_test_wrong"));
    assert_eq!(report.log, "", "the log repeats what the table says");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn wrong_settings_are_all_named_and_the_rest_is_checked(db: PgPool) {
    let (_stripe, _relay, mut env) = world(&db).await;
    env.insert("STRIPE_API_KEY".to_owned(), "sk_test_".to_owned());
    env.insert("STRIPE_WEBHOOK_SECRET".to_owned(), "whsec_".to_owned());
    env.remove("COURIER_EMAIL__FROM");
    env.insert("COURIER_QUEUE__LEASEE".to_owned(), "3s".to_owned());
    let report = Report::run(&env).await;
    assert_eq!(report.status, 1);
    report.expect("WRONG", "settings", "STRIPE_API_KEY (stripe.api_key): nothing follows");
    report.expect("WRONG", "settings", "STRIPE_WEBHOOK_SECRET (webhook.secrets): nothing");
    report.expect("WRONG", "settings", "COURIER_EMAIL__FROM (email.from): missing");
    report.expect("WRONG", "settings", "COURIER_QUEUE__LEASEE: unknown setting");
    report.expect("-", "Stripe", "its settings are wrong");
    report.expect("ok", "database", "writable");
    report.expect("ok", "relay", "answers as");
    assert!(report.text.contains("4 problems, "), "{}", report.text);
    let json = command(&["doctor", "--json"], &env).output().await.unwrap();
    let checks: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let relay = checks.as_array().unwrap().iter().find(|check| check["name"] == "relay");
    assert_eq!(relay.unwrap()["status"], "ok");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn permissions_are_tried_one_by_one(db: PgPool) {
    const NAME: &str = "permissions";
    let app = TestApp::start(db).await;
    let mut parts = app.app.check_parts();
    // These are not the subject, and take the longest.
    (parts.wording, parts.email) = (None, None);
    let none = run_checks(&parts).await;
    let untried = find(&none, NAME, "no connected account to try it with");
    assert_eq!(untried.status, CheckStatus::Skipped);
    app.stripe.add_account(&NewAccount::default());
    let all = run_checks(&parts).await;
    let granted = find(&all, NAME, "may read offers, accounts, persons, events");
    assert!(granted.text.ends_with("charges of accounts, transfers"), "{granted:?}");

    for path in ["/v1/events", "/v1/payouts", "/v1/webhook_endpoints"] {
        let kind = FaultKind::Error { status: 403, code: "refused", headers: vec![] };
        app.stripe.inject(Fault { method: "GET", path, times: 1, kind });
    }
    app.stripe.set_beta_flags(&[]);
    let refused = run_checks(&parts).await;
    for (name, text, status) in [
        (NAME, "may not read events, which are needed for reconcil", CheckStatus::Wrong),
        (NAME, "may not read payouts of accounts", CheckStatus::Warn),
        ("webhook endpoint", "may not read webhook endpoints", CheckStatus::Warn),
        ("embedded version", "permission to pass this beta header", CheckStatus::Warn),
    ] {
        assert_eq!(find(&refused, name, text).status, status, "{text}");
    }
    // Reading is all that is tried.
    assert!(app.stripe.requests().iter().all(|request| request.method == "GET"));
    app.finish().await;
}

/// A live platform with a disclaimer for loans in the US.
async fn live_world(
    db: &PgPool,
    disclaimers: &Path,
) -> (Simulator, Relay, HashMap<String, String>) {
    const LIVE_KEY: &str = "sk_live_courier";
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        api_key: LIVE_KEY.to_owned(),
        time: TimeSource::system(),
    };
    let (stripe, relay) = (Simulator::start(options).await.unwrap(), Relay::start().await);
    let mut env = environment(&stripe, &relay.url());
    env.insert("DATABASE_URL".to_owned(), url_of(db));
    env.insert("STRIPE_API_KEY".to_owned(), LIVE_KEY.to_owned());
    let folder = disclaimers.display().to_string();
    env.insert("COURIER_EMAIL__DISCLAIMERS_DIR".to_owned(), folder);
    (stripe, relay, env)
}

#[sqlx::test(migrations = false)]
async fn an_embedded_database_that_is_new_is_not_created(db: PgPool) {
    let (_stripe, _relay, mut env) = world(&db).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    env.remove("DATABASE_URL");
    env.insert("COURIER_DATABASE__DATA_DIR".to_owned(), data.display().to_string());
    Report::run(&env).await.expect("ok", "database", "new: `serve` starts a Postgres in");
    assert!(!data.exists());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn with_a_live_key_each_market_lists_what_is_held(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let (_stripe, _relay, env) = live_world(&db, folder.path()).await;
    let us = folder.path().join("celtic_us_loan");
    std::fs::create_dir(&us).unwrap();
    std::fs::write(us.join("en.txt"), "All loans are issued by Celtic Bank.").unwrap();
    let report = Report::run(&env).await;
    assert_eq!(report.status, 1);
    report.expect("warn", "disclaimers", "GB (youlend_uk_mca)");
    assert!(!report.has("warn", "disclaimers", "celtic_us_loan"), "{}", report.text);
    report.expect("WRONG", "approvals US", "8 of 8 wordings lack one, and are held");
    // In live mode the endpoint must be registered.
    report.expect("WRONG", "webhook endpoint", "no endpoint is registered");

    // Without a key and without a relay.
    let mut env_of_compliance = env.clone();
    for name in ["STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "SMTP_URL"] {
        env_of_compliance.remove(name);
    }
    let compliance = async |arguments: &[&str]| {
        let output = command(arguments, &env_of_compliance).output().await.unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {log}");
    };
    let preview = tempfile::tempdir().unwrap();
    compliance(&["email", "preview", &preview.path().display().to_string()]).await;
    let approve = ["email", "approve", "--market", "US", "--reference", "1"];
    compliance(&[&approve[..], &["--kind", "offer"]].concat()).await;
    compliance(&["opt-out", "list"]).await;
    Report::run(&env).await.expect("warn", "approvals US", "7 of 8");
    compliance(&approve).await;
    Report::run(&env).await.expect("ok", "approvals US", "all 8 wordings are approved");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_role_of_the_service_cannot_change_evidence(db: PgPool) {
    let app = TestApp::start(db).await;
    let mut parts = app.app.check_parts();
    (parts.wording, parts.email) = (None, None);
    let role = async |parts: &CheckParts| -> Check {
        let all = run_checks(parts).await;
        all.into_iter().find(|check| check.name == "database role").unwrap()
    };
    let owner = role(&parts).await;
    assert!(owner.text.contains("could change evidence (delivery_attempt_results"), "{owner:?}");
    let pool = as_service(&app.db).await.into();
    parts.database = Some(DatabasePart { pool, is_embedded: false, migrates_on_start: false });
    let service = role(&parts).await;
    let expected = "courier_service can insert evidence and not change it";
    assert_eq!((service.status, service.text.as_str()), (CheckStatus::Ok, expected));
    app.finish().await;
}
