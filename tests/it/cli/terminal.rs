//! What commands print, and to whom: a terminal that obeys control characters, or a reader who has
//! gone.

use std::collections::HashMap;
use std::process::Output;

use capital_courier::format::text::is_unprintable;
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::TestApp;
use crate::support::process::{command, url_of};

/// Ends the line, clears the screen, rings, in one byte and in two, and turns the rest around.
const HOSTILE: &str = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}b\u{2066}\u{200b}\nforged";

/// An offer whose letter was sent, and an opt-out, a key and a refused address.
async fn with_a_row_of_each(db: PgPool) -> (TestApp, String) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.opts_out("acct_other").await;
    crate::web::api::key(&app, &[capital_courier::web::api::Scope::OptOutsRead]).await;
    let letter: String = app.one("select letter_id from letters where offer_id = $1", &offer).await;
    sqlx::query(
        "insert into suppressed_addresses (address_sha256, reason, status, letter_id, suppressed_at)
         select sha256('jenny@bakery.example'), 'bounce', '5.1.1', $1, now()",
    )
    .bind(letter)
    .execute(&app.db)
    .await
    .unwrap();
    (app, offer)
}

/// Every command that prints what is in the database for a person.
fn commands<'a>(offer: &'a str, event: &'a str, account: &'a str) -> [Vec<&'a str>; 10] {
    [
        vec!["account", "show", account],
        vec!["offer", "list"],
        vec!["offer", "show", offer],
        vec!["event", "list"],
        vec!["event", "show", event],
        vec!["job", "list", "--state", "done"],
        vec!["api-key", "list"],
        vec!["opt-out", "list"],
        vec!["address", "list"],
        vec!["offer", "show", "financingoffer_unknown"],
    ]
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_others_wrote_reaches_no_terminal_as_it_is(db: PgPool) {
    let (app, offer) = with_a_row_of_each(db).await;
    let event: String =
        app.one("select event_id from inbox_events where object_id = $1", &offer).await;
    let account = app.account_of(&offer);
    for (table, column) in [
        ("financing_offers", "status"),
        ("inbox_events", "note"),
        ("inbox_events", "event_type"),
        ("letters", "relay_reply"),
        ("deliveries", "note"),
        ("jobs", "last_error"),
        ("api_keys", "name"),
        ("opt_outs", "note"),
    ] {
        // Names of ours, not data.
        let statement = AssertSqlSafe(format!("update {table} set {column} = $1"));
        let changed = sqlx::query(statement).bind(HOSTILE).execute(&app.db).await.unwrap();
        assert!(changed.rows_affected() > 0, "{table}");
    }
    sqlx::query(
        "insert into timeline_entries (offer_id, account_id, kind, note, happened_at, recorded_at)
         select offer_id, account_id, $1, $1, now(), now() from letters",
    )
    .bind(HOSTILE)
    .execute(&app.db)
    .await
    .unwrap();
    let env = HashMap::from([("DATABASE_URL".to_owned(), url_of(&app.db))]);
    let mut seen = 0;
    for arguments in commands(&offer, &event, &account) {
        let Output { stdout, stderr, .. } = command(&arguments, &env).output().await.unwrap();
        // What `event show` prints to a pipe is data, as it came.
        let stdout = if arguments[..2] == ["event", "show"] { Vec::new() } else { stdout };
        let printed = String::from_utf8([stdout, stderr].concat()).unwrap();
        let bad = printed.chars().find(|c| *c != '\n' && is_unprintable(*c));
        assert_eq!(bad, None, "{arguments:?}: {printed}");
        assert!(
            !printed.lines().any(|line| line.starts_with("forged")),
            "{arguments:?}: {printed}"
        );
        seen += usize::from(
            printed.contains("\\u{1b}[2J\\u{7}\\u{9b}31m\\u{202e}b\\u{2066}\\u{200b}\\u{a}forged"),
        );
    }
    assert_eq!(seen, 8, "all but the refused address and the unknown offer show it");
    // Data stay what they are, written so that a terminal obeys none of it.
    let json = command(&["opt-out", "list", "--json"], &env).output().await.unwrap().stdout;
    let json = String::from_utf8(json).unwrap();
    assert!(!json.contains(|c| c != '\n' && is_unprintable(c)), "{json}");
    let all: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(all[0]["note"], HOSTILE);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reader_who_has_seen_enough_ends_a_command_without_an_error(db: PgPool) {
    let (app, offer) = with_a_row_of_each(db).await;
    let event: String =
        app.one("select event_id from inbox_events where object_id = $1", &offer).await;
    let account = app.account_of(&offer);
    let env = HashMap::from([("DATABASE_URL".to_owned(), url_of(&app.db))]);
    let day = "2026-11-24";
    let mut all: Vec<Vec<&str>> = commands(&offer, &event, &account).into_iter().take(9).collect();
    all.extend([
        vec!["offer", "list", "--json"],
        vec!["offer", "show", &offer, "--json"],
        vec!["account", "show", &account, "--json"],
        vec!["account", "export", &account],
        vec!["opt-out", "export"],
        vec!["opt-out", "add", "acct_another"],
        vec!["report", "delivery", "--from", day, "--to", day],
        vec!["report", "transactions", "--from", day, "--to", day],
        vec!["settings"],
        vec!["--help"],
        vec!["offer", "list", "--help"],
    ]);
    for arguments in all {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = command(&arguments, &env).stdout(writer).output().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("error"), "{arguments:?}: {said}");
    }
    // What was asked for is done, whoever reads of it.
    let opted_out: i64 =
        app.one("select count(*) from opt_outs where account_id = $1", "acct_another").await;
    assert_eq!(opted_out, 1);
    // And where errors can be told to nobody, their status is still there.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended =
        command(&["offer", "show", "financingoffer_unknown"], &env).stderr(writer).output().await;
    assert_eq!(ended.unwrap().status.code(), Some(1));
    app.abandon();
}
