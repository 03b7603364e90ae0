//! The evidence of what was sent: complete, exact, and out of the service's reach.

use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Executor, PgPool};

use crate::support::smtp::{Step, Trouble};
use crate::support::{TestApp, as_service, process};

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_exact_bytes_of_a_message_are_stored_with_their_hash(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    let letter = app.expect_delivered(&offer).await;
    app.expect_attempts(&offer, &[(1, "sent")]).await;
    let attempt = app.delivery_attempts(&offer).await.remove(0);
    assert_eq!(format!("<{}>", attempt.message_id), letter.header("Message-ID"));
    assert_eq!(letter.message().subject(), Some(attempt.subject.as_str()));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text(&attempt.message).trim_end(), text(&letter.bytes).trim_end());
    assert_eq!(attempt.message_sha256, Sha256::digest(&attempt.message).to_vec());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn each_attempt_at_an_uncertain_letter_has_the_same_message_id(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::Drop, 1);
    app.announce(&offer).await;
    app.after(TimeDelta::hours(1)).await;
    app.expect_letter(&offer, "sent", None).await;
    app.expect_attempts(&offer, &[(1, "unknown"), (2, "sent")]).await;
    let attempts = app.delivery_attempts(&offer).await;
    assert_eq!(attempts[0].message_id, attempts[1].message_id);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn only_messages_that_the_relay_received_are_recorded(db: PgPool) {
    let app = TestApp::start(db).await;
    let (rejected, deferred, never_received) = (app.offer(), app.offer(), app.offer());
    app.relay.fail(Step::Dot, Trouble::Say("554 5.6.0 no"), 1);
    app.announce(&rejected).await;
    app.relay.fail(Step::Dot, Trouble::Say("451 4.3.0 later"), 1);
    app.announce(&deferred).await;
    app.relay.fail(Step::Rcpt(0), Trouble::Say("550 5.6.1 no"), 1);
    app.announce(&never_received).await;
    app.after(TimeDelta::hours(1)).await;
    app.expect_attempts(&rejected, &[(1, "rejected")]).await;
    app.expect_attempts(&deferred, &[(1, "deferred"), (2, "sent")]).await;
    app.expect_attempts(&never_received, &[]).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_rewritten_letter_keeps_the_evidence_of_its_first_version(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::Drop, 1);
    app.announce(&offer).await;
    // Stripe changes the terms in place.
    app.stripe
        .edit_offer(&offer, |offer| offer["offered_terms"]["advance_amount"] = 777_700.into());
    app.after(TimeDelta::hours(1)).await;
    let attempts = app.delivery_attempts(&offer).await;
    let subjects: Vec<&str> = attempts.iter().map(|attempt| attempt.subject.as_str()).collect();
    assert!(subjects[0].contains("$1,000") && subjects[1].contains("$7,777"), "{subjects:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_evidence_is_append_only(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    for change in [
        "update delivery_attempts set recipient = 'other@else.example'",
        "delete from delivery_attempts",
        "truncate delivery_attempts cascade",
        "update delivery_attempt_results set outcome = 'refused'",
        "delete from delivery_attempt_results",
        "truncate delivery_attempt_results",
    ] {
        let refused = sqlx::query(change).execute(&app.db).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{change}: {refused}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_services_role_can_work_but_not_change_evidence(db: PgPool) {
    let app = TestApp::start(as_service(&db).await).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.opts_out("acct_1").await;
    assert!(app.app.remind_now().await.unwrap() && app.app.reconcile_now().await.unwrap());
    app.expect_delivered(&offer).await;
    // Partitions are created by functions that run as the owner. A temporary table of the same name
    // must not divert them.
    let mut connection = app.db.acquire().await.unwrap();
    connection.execute("create temporary table inbox_bodies (received_on date)").await.unwrap();
    connection.execute("select create_inbox_bodies_partition('2026-11-25')").await.unwrap();
    connection.execute("drop table pg_temp.inbox_bodies").await.unwrap();
    drop(connection);
    let parent: String = app
        .one(
            "select inhparent::regclass::text from pg_inherits where inhrelid = $1::regclass",
            "public.inbox_bodies_20261125",
        )
        .await;
    assert_eq!(parent, "inbox_bodies");
    for change in [
        "set courier.erasing = 'yes'; update delivery_attempts set recipient = 'x'",
        "set courier.erasing = 'yes'; delete from delivery_attempt_results",
        "truncate delivery_attempts cascade",
        "drop table delivery_attempts cascade",
        "alter table delivery_attempts disable trigger all",
        "delete from opt_outs",
        "delete from copy_approvals",
        "update copy_approvals set reference = 'x'",
        "truncate copy_approvals",
        "update timeline_entries set note = 'x'",
        "delete from timeline_entries",
        "drop function reject_change cascade",
        "drop table inbox_bodies_20261125",
        "alter table inbox_bodies detach partition inbox_bodies_20261125",
        "delete from _sqlx_migrations",
    ] {
        let refused =
            app.db.execute(AssertSqlSafe(change.to_owned())).await.unwrap_err().to_string();
        let is_denied = refused.contains("permission denied") || refused.contains("must be owner");
        assert!(is_denied, "{change}: {refused}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_delivery_report_lists_every_letter_and_escapes_formulas(db: PgPool) {
    let app = TestApp::start(db).await;
    let (sent, opted_out) = (app.offer(), app.offer());
    app.opts_out(&app.account_of(&opted_out)).await;
    app.announce(&sent).await;
    app.announce(&opted_out).await;
    sqlx::query("update letters set reason = '=cmd()', relay_reply = 'ours' where offer_id = $1")
        .bind(&sent)
        .execute(&app.db)
        .await
        .unwrap();
    let env = [("DATABASE_URL".to_owned(), process::url_of(&app.db))].into();
    let run = async |arguments: &[&str]| process::command(arguments, &env).output().await.unwrap();
    let report = run(&["report", "delivery", "--from", "2026-11-24", "--to", "2026-11-24"]).await;
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let csv = String::from_utf8(report.stdout).unwrap();
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let header = rows.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        let at = header.iter().position(|column| column == name).unwrap();
        rows[row].get(at).unwrap().to_owned()
    };
    assert_eq!(rows.len(), 2, "{csv}");
    let (row, other) = if cell(0, "offer") == sent { (0, 1) } else { (1, 0) };
    assert_eq!(
        (cell(row, "state"), cell(row, "recipient")),
        ("sent".to_owned(), "j***@bakery.example".to_owned())
    );
    assert_eq!(cell(row, "reason"), "'=cmd()");
    assert!(cell(row, "relay_reply").starts_with("250"), "the reply in evidence: {csv}");
    assert_eq!(cell(row, "sha256").len(), 64);
    assert!(!cell(row, "stripe_told_at").is_empty() && !cell(row, "opt_out_checked_at").is_empty());
    assert_eq!(
        (cell(other, "state"), cell(other, "sha256")),
        ("suppressed".to_owned(), String::new())
    );
    let open =
        run(&["report", "delivery", "--from", "2026-11-24", "--to", "2026-11-24", "--addresses"])
            .await;
    assert!(String::from_utf8_lossy(&open.stdout).contains("jenny@bakery.example"));
    let before = run(&["report", "delivery", "--from", "2026-11-01", "--to", "2026-11-23"]).await;
    assert_eq!(String::from_utf8_lossy(&before.stdout).lines().count(), 1);
    assert_eq!(
        run(&["report", "delivery", "--from", "2026-11-25", "--to", "2026-11-24"])
            .await
            .status
            .code(),
        Some(1)
    );
    // The exact message.
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let written = run(&["report", "message", &cell(row, "letter"), "--out", path]).await;
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(hex::encode(Sha256::digest(std::fs::read(path).unwrap())), cell(row, "sha256"));
    assert_eq!(run(&["report", "message", "letter_x", "--out", path]).await.status.code(), Some(1));
    app.finish().await;
}
