//! What commands print to a terminal, which interprets control characters, and to a closed pipe.

use std::collections::HashMap;
use std::process::Output;

use capital_courier::format::text::is_unprintable;
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::TestApp;
use crate::support::process::{command, url_of};

/// Clears the screen, rings the bell, starts an escape sequence with one byte, reverses the text
/// direction, hides a character and forges a line.
const HOSTILE: &str = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}b\u{2066}\u{200b}\nforged";

/// An offer whose letter was sent, an opt-out, an API key and a suppressed address.
async fn app_with_one_row_of_each(db: PgPool) -> (TestApp, String) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
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

/// Every command that prints stored text for a reader.
fn commands<'a>(
    offer: &'a str,
    event: &'a str,
    account: &'a str,
    letter: &'a str,
) -> [Vec<&'a str>; 13] {
    [
        vec!["letter", "list"],
        vec!["letter", "show", letter],
        vec!["search", letter],
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
async fn control_characters_in_stored_text_never_reach_a_terminal(db: PgPool) {
    let (app, offer) = app_with_one_row_of_each(db).await;
    let event = app.event_id(&offer).await;
    let account = app.account_of(&offer);
    let letter: String = app.one("select letter_id from letters where offer_id = $1", &offer).await;
    for (table, column) in [
        ("financing_offers", "status"),
        ("inbox_events", "note"),
        ("inbox_events", "event_type"),
        ("letters", "relay_reply"),
        ("letters", "reason"),
        ("letters", "subject"),
        ("deliveries", "note"),
        ("jobs", "last_error"),
        ("api_keys", "name"),
        ("opt_outs", "note"),
    ] {
        // Safe: the names are constants.
        let statement = AssertSqlSafe(format!("update {table} set {column} = $1"));
        let updated = sqlx::query(statement).bind(HOSTILE).execute(&app.db).await.unwrap();
        assert!(updated.rows_affected() > 0, "{table}");
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
    let mut escaped_in = 0;
    for arguments in commands(&offer, &event, &account, &letter) {
        let Output { stdout, stderr, .. } = command(&arguments, &env).output().await.unwrap();
        // `event show` prints the body unchanged into a pipe.
        let stdout = if arguments[..2] == ["event", "show"] { Vec::new() } else { stdout };
        let printed = String::from_utf8([stdout, stderr].concat()).unwrap();
        let unprintable = printed.chars().find(|c| *c != '\n' && is_unprintable(*c));
        assert_eq!(unprintable, None, "{arguments:?}: {printed}");
        assert!(
            !printed.lines().any(|line| line.starts_with("forged")),
            "{arguments:?}: {printed}"
        );
        escaped_in += usize::from(
            printed.contains("\\u{1b}[2J\\u{7}\\u{9b}31m\\u{202e}b\\u{2066}\\u{200b}\\u{a}forged"),
        );
    }
    assert_eq!(
        escaped_in, 11,
        "`address list` and the unknown offer do not print it, the others do"
    );
    // JSON keeps the text and escapes it.
    let json = command(&["opt-out", "list", "--json"], &env).output().await.unwrap().stdout;
    let json = String::from_utf8(json).unwrap();
    assert!(!json.contains(|c| c != '\n' && is_unprintable(c)), "{json}");
    let opt_outs: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(opt_outs[0]["note"], HOSTILE);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_closed_output_pipe_does_not_fail_a_command(db: PgPool) {
    let (app, offer) = app_with_one_row_of_each(db).await;
    let event = app.event_id(&offer).await;
    let account = app.account_of(&offer);
    let letter: String = app.one("select letter_id from letters where offer_id = $1", &offer).await;
    let env = HashMap::from([("DATABASE_URL".to_owned(), url_of(&app.db))]);
    let day = "2026-11-24";
    let mut all: Vec<Vec<&str>> =
        commands(&offer, &event, &account, &letter).into_iter().take(12).collect();
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
        let output = command(&arguments, &env).stdout(writer).output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(
            !stderr.contains("panicked") && !stderr.contains("error"),
            "{arguments:?}: {stderr}"
        );
    }
    // The command had its effect.
    let opted_out: i64 =
        app.one("select count(*) from opt_outs where account_id = $1", "acct_another").await;
    assert_eq!(opted_out, 1);
    // A closed stderr does not change the exit code.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        command(&["offer", "show", "financingoffer_unknown"], &env).stderr(writer).output().await;
    assert_eq!(output.unwrap().status.code(), Some(1));
    app.abandon();
}
