//! Acts: each says its outcome, as JSON too, and is in the log with who and why.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::{run, run_err, run_ok};
use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble as SmtpTrouble};

async fn acted(app: &TestApp, arguments: &[&str]) -> Value {
    let output = run_ok(&app.db, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output}"))
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_act_prints_json_and_is_logged_with_its_reason(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    let account = app.account_of(&offer);
    let event = app.event_id(&offer).await;
    let why = ["--reason", "ticket 12"];
    let act = async |arguments: &[&str]| acted(&app, &[arguments, &why].concat()).await;

    let set = act(&["contact", "set", &account, "owner@kite.example"]).await;
    assert_eq!(
        set,
        json!({"account_id": account, "outcome": "set", "email": "o***@kite.example", "queued": 1})
    );
    assert_eq!(act(&["offer", "withdraw", &offer]).await["outcome"], "withdrawn");
    assert_eq!(act(&["event", "replay", &event]).await["outcome"], "unread");
    assert_eq!(act(&["opt-out", "add", &account]).await["outcome"], "opted_out");
    assert_eq!(act(&["opt-out", "remove", &account]).await["outcome"], "ended");
    assert_eq!(act(&["contact", "clear", &account]).await["outcome"], "cleared");
    let create = ["api-key", "create", "--name", "bot", "--scope", "opt_outs:read"];
    let key = act(&create).await["key_id"].as_str().unwrap().to_owned();
    assert_eq!(act(&["api-key", "revoke", &key]).await["outcome"], "revoked");
    assert_eq!(act(&["account", "erase", &account, "--yes"]).await["outcome"], "erased");

    let logged: Vec<(String, String, Option<String>, String)> = sqlx::query_as(
        "select action, channel, reason, outcome from operator_actions order by action_id",
    )
    .fetch_all(&app.db)
    .await
    .unwrap();
    let actions: Vec<&str> = logged.iter().map(|entry| entry.0.as_str()).collect();
    let expected = [
        "contact.set",
        "letter.withdraw",
        "event.replay",
        "opt_out.add",
        "opt_out.remove",
        "contact.clear",
        "api_key.create",
        "api_key.revoke",
        "account.erase",
    ];
    assert_eq!(actions, expected);
    for (action, channel, reason, outcome) in &logged {
        assert_eq!((channel.as_str(), reason.as_deref()), ("command_line", Some("ticket 12")));
        assert!(!outcome.contains("owner@"), "{action}: {outcome}");
    }
    app.run_due_work().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_act_that_is_refused_leaves_no_entry(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    let account = app.account_of(&offer);
    for (arguments, why) in [
        (vec!["offer", "withdraw", &offer], "no email that waits or is held"),
        (vec!["contact", "clear", &account], "no address is set"),
        (vec!["contact", "set", "acct_unknown", "a@b.example"], "unknown"),
        (vec!["opt-out", "remove", &account], "not opted out"),
        (vec!["job", "retry", "1234567"], "does not exist"),
    ] {
        let error = run_err(&app.db, &arguments).await;
        assert!(error.contains(why), "{arguments:?}: {error}");
    }
    let logged: i64 = sqlx::query_scalar("select count(*) from operator_actions")
        .fetch_one(&app.db)
        .await
        .unwrap();
    assert_eq!(logged, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_contact_is_set_shown_masked_and_releases_the_held_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    app.expect_letter(&offer, "held", Some("no_recipient")).await;
    let account = app.account_of(&offer);
    let set = ["contact", "set", &account, "owner@kite.example"];
    assert!(run_ok(&app.db, &set).await.contains("queued 1 held emails"));
    let shown = run_ok(&app.db, &["contact", "show", &account]).await;
    assert!(shown.contains("o***@kite.example") && !shown.contains("owner@"), "{shown}");
    let shown = run_ok(&app.db, &["contact", "show", &account, "--addresses"]).await;
    assert!(shown.contains("owner@kite.example"), "{shown}");
    app.make_jobs_due().await;
    app.run_due_work().await;
    assert_eq!(app.expect_delivered(&offer).await.header("To"), "owner@kite.example");
    assert!(run_err(&app.db, &["contact", "show", "acct_unknown"]).await.contains("not found"));
    let bad = run(&app.db, &["contact", "set", &account, "Jenny"]).await;
    assert_eq!(bad.status.code(), Some(64));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn all_dead_jobs_are_retried_and_all_unreadable_events_read_again(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "1")]).await;
    let offers = [app.offer(), app.offer()];
    for offer in &offers {
        app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
        app.announce(offer).await;
    }
    assert_eq!(
        acted(&app, &["job", "retry", "--all", "--kind", "mark_delivered"]).await["jobs"],
        0
    );
    let retried = acted(&app, &["job", "retry", "--all", "--kind", "send_letter"]).await;
    assert_eq!(retried, json!({"outcome": "queued", "jobs": 2, "skipped": 0}));
    app.make_jobs_due().await;
    app.run_due_work().await;
    for offer in &offers {
        app.expect_delivered(offer).await;
    }
    sqlx::query("update inbox_events set state = 'unreadable'").execute(&app.db).await.unwrap();
    let events = app.events_in_state("unreadable").await;
    let replay = ["event", "replay", "--all", "--state", "unreadable"];
    let replayed = acted(&app, &replay).await;
    assert_eq!((&replayed["events"], &replayed["skipped"]), (&events.into(), &0.into()));
    app.run_due_work().await;
    assert_eq!(app.events_in_state("read").await, events);
    assert_eq!(app.relay.letters().len(), 2);
    for arguments in [&["job", "retry"][..], &["event", "replay"], &["event", "replay", "--all"]] {
        assert_eq!(run(&app.db, arguments).await.status.code(), Some(64), "{arguments:?}");
    }
    app.finish().await;
}
