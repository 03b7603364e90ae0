//! `pause` and `resume`.

use serde_json::Value;
use sqlx::PgPool;

use super::{run, run_err, run_ok};
use crate::support::TestApp;
use crate::support::process::{command, url_of};

async fn run_json(db: &PgPool, arguments: &[&str]) -> Value {
    serde_json::from_str(&run_ok(db, arguments).await).unwrap()
}

/// The output of `pause` as run by this person.
async fn pause_by(db: &PgPool, person: &str, reason: &str) -> String {
    let env = [("DATABASE_URL", url_of(db)), ("USER", person.to_owned())];
    let env = env.map(|(name, value)| (name.to_owned(), value)).into();
    let output = command(&["pause", "--reason", reason], &env).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn pausing_twice_keeps_the_first_pause_and_resuming_twice_ends_it_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let said = pause_by(&app.db, "Ada", "wrong template").await;
    assert!(said.contains("paused all emails") && said.contains("0 wait"), "{said}");
    app.announce(&offer).await;
    let said = pause_by(&app.db, "Bob", "still wrong").await;
    assert!(said.contains("nothing changed: all emails, since"), "{said}");
    assert!(said.contains("by Ada: wrong template") && said.contains("1 wait"), "{said}");
    let listed = run_json(&app.db, &["pause", "--list", "--json"]).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["paused_by"]), (1, &"Ada".into()));

    let said = run_ok(&app.db, &["resume", "--reason", "corrected"]).await;
    assert!(said.contains("resumed all emails") && said.contains("1 emails wait"), "{said}");
    let said = run_ok(&app.db, &["resume", "--reason", "corrected"]).await;
    assert!(said.contains("no pause of all emails is in force"), "{said}");
    assert!(run_ok(&app.db, &["pause", "--list"]).await.contains("no pause is in force"));
    let record: (String, String, String, bool) =
        sqlx::query_as("select paused_by, reason, end_reason, ended_at >= paused_at from pauses")
            .fetch_one(&app.db)
            .await
            .unwrap();
    let [by, reason, end] = ["Ada", "wrong template", "corrected"].map(str::to_owned);
    assert_eq!(record, (by, reason, end, true));
    // The log of acts has what changed something.
    let acts: Vec<(String, String, String)> =
        sqlx::query_as("select action, reason, outcome from operator_actions order by action_id")
            .fetch_all(&app.db)
            .await
            .unwrap();
    let expected = [
        ("sending.pause", "wrong template", "paused all emails; 0 were being handed over"),
        ("sending.resume", "corrected", "resumed all emails"),
    ];
    let expected = expected.map(|(act, why, what)| (act.into(), why.into(), what.into()));
    assert_eq!(acts, expected);
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_scope_that_would_stop_nothing_is_refused(db: PgPool) {
    let error = run_err(&db, &["pause", "--market", "UK", "--reason", "x"]).await;
    assert!(error.contains("no emails go to the market UK") && error.contains("GB"), "{error}");
    // A script may call without words; the record says so.
    run_ok(&db, &["pause"]).await;
    assert!(run_ok(&db, &["pause", "--list"]).await.contains("not given"));
    run_ok(&db, &["resume"]).await;
    for usage in [
        &["pause", "--reason", ""][..],
        &["pause", "--kind", "newsletter", "--reason", "x"],
        &["pause", "--list", "--market", "US"],
        &["pause", "--list", "--reason", "x"],
    ] {
        assert_eq!(run(&db, usage).await.status.code(), Some(64), "{usage:?}");
    }
    let scope = ["--market", "gb", "--kind", "reminder_7d", "--json", "--reason", "x"];
    let paused = run_json(&db, &[&["pause"], &scope[..]].concat()).await;
    assert_eq!(
        (&paused["pause"]["market"], &paused["pause"]["kind"], &paused["is_new"]),
        (&"GB".into(), &"reminder_7d".into(), &true.into())
    );
    // Another scope is another pause.
    let said = run_ok(&db, &["resume", "--reason", "x"]).await;
    assert!(said.contains("still paused: emails of the kind reminder_7d for GB"), "{said}");
    let resumed = run_json(&db, &[&["resume"], &scope[..]].concat()).await;
    assert_eq!(
        (&resumed["ended"]["end_reason"], &resumed["in_force"]),
        (&"x".into(), &Value::Array(vec![]))
    );
}
