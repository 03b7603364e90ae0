//! The proof of what was sent: complete, exact, and beyond the reach of the service itself.

use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Executor, PgPool};

use crate::support::smtp::{Step, Trouble};
use crate::support::{TestApp, as_service, process};

async fn deliver(app: &TestApp, offer: &str) {
    app.stripe_sends(&app.created(offer)).await.expect_kept();
    app.run_due_work().await;
}

/// Attempt, Message-ID, subject, bytes and hash of each handing over of an offer's letter, with what came of it.
type Handover = (i32, String, String, Vec<u8>, Vec<u8>, Option<String>);

async fn delivery_attempts(app: &TestApp, offer: &str) -> Vec<Handover> {
    sqlx::query_as(
        "select attempt, message_id, subject, message, message_sha256, outcome
         from delivery_attempts left join delivery_attempt_results using (delivery_attempt_id) where offer_id = $1 order by attempt",
    )
    .bind(offer)
    .fetch_all(&app.db)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_the_relay_got_is_kept_to_the_byte_with_its_hash(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    deliver(&app, &offer).await;
    let letter = app.expect_delivered(&offer).await;
    let [(attempt, message_id, subject, bytes, sha256, outcome)] =
        &delivery_attempts(&app, &offer).await[..]
    else {
        panic!("one handing over")
    };
    assert_eq!((*attempt, outcome.as_deref()), (1, Some("sent")));
    assert_eq!(format!("<{message_id}>"), letter.header("Message-ID"));
    assert_eq!(letter.message().subject(), Some(subject.as_str()));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text(bytes).trim_end(), text(&letter.bytes).trim_end());
    assert_eq!(sha256, &Sha256::digest(bytes).to_vec());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_in_doubt_has_a_proof_of_each_handing_over_and_one_message_id(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::Drop, 1);
    deliver(&app, &offer).await;
    app.after(TimeDelta::hours(1)).await;
    app.expect_letter(&offer, "sent", None).await;
    let all = delivery_attempts(&app, &offer).await;
    let outcomes: Vec<_> = all.iter().map(|handover| (handover.0, handover.5.as_deref())).collect();
    assert_eq!(outcomes, [(1, Some("unknown")), (2, Some("sent"))]);
    assert_eq!(all[0].1, all[1].1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_a_relay_refused_or_put_off_after_it_had_it_is_in_the_books_and_what_it_never_had_is_not(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let (refused, put_off, never) = (app.offer(), app.offer(), app.offer());
    app.relay.fail(Step::Dot, Trouble::Say("554 5.6.0 no"), 1);
    deliver(&app, &refused).await;
    app.relay.fail(Step::Dot, Trouble::Say("451 4.3.0 later"), 1);
    deliver(&app, &put_off).await;
    app.relay.fail(Step::Rcpt(0), Trouble::Say("550 5.6.1 no"), 1);
    deliver(&app, &never).await;
    app.after(TimeDelta::hours(1)).await;
    for (offer, expected) in [
        (&refused, vec![Some("rejected")]),
        (&put_off, vec![Some("deferred"), Some("sent")]),
        (&never, vec![]),
    ] {
        let all = delivery_attempts(&app, offer).await;
        assert_eq!(all.iter().map(|handover| handover.5.as_deref()).collect::<Vec<_>>(), expected);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn words_that_were_written_anew_leave_the_old_ones_in_the_books(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::Drop, 1);
    deliver(&app, &offer).await;
    // Stripe changes the terms in place.
    app.stripe
        .edit_offer(&offer, |offer| offer["offered_terms"]["advance_amount"] = 777_700.into());
    app.after(TimeDelta::hours(1)).await;
    let subjects: Vec<String> =
        delivery_attempts(&app, &offer).await.into_iter().map(|handover| handover.2).collect();
    assert!(subjects[0].contains("$1,000") && subjects[1].contains("$7,777"), "{subjects:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn nobody_changes_the_books_by_accident(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    deliver(&app, &offer).await;
    for change in [
        "update delivery_attempts set recipient = 'somebody@else.example'",
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
async fn the_services_own_role_does_its_work_and_cannot_touch_the_proof(db: PgPool) {
    let app = TestApp::start(as_service(&db).await).await;
    let offer = app.offer();
    deliver(&app, &offer).await;
    app.opts_out("acct_1").await;
    assert!(app.app.remind_now().await.unwrap() && app.app.reconcile_now().await.unwrap());
    app.expect_delivered(&offer).await;
    // By functions that run as the owner, whatever stands in for the owner's tables.
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
        "update timeline_entries set note = 'x'",
        "delete from timeline_entries",
        "drop function reject_change cascade",
        "drop table inbox_bodies_20261125",
        "alter table inbox_bodies detach partition inbox_bodies_20261125",
        "delete from _sqlx_migrations",
    ] {
        let refused =
            app.db.execute(AssertSqlSafe(change.to_owned())).await.unwrap_err().to_string();
        let is_no_right =
            refused.contains("permission denied") || refused.contains("must be owner");
        assert!(is_no_right, "{change}: {refused}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_report_says_of_each_letter_what_was_sent_and_harms_no_spreadsheet(db: PgPool) {
    let app = TestApp::start(db).await;
    let (sent, opted_out) = (app.offer(), app.offer());
    let account = app.stripe.offer(&opted_out).unwrap()["account"].as_str().unwrap().to_owned();
    app.opts_out(&account).await;
    deliver(&app, &sent).await;
    deliver(&app, &opted_out).await;
    sqlx::query("update letters set relay_reply = '=cmd()' where offer_id = $1")
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
    assert_eq!(cell(row, "relay_reply"), "'=cmd()");
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
    // The message itself, to the byte.
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let written = run(&["report", "message", &cell(row, "letter"), "--out", path]).await;
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(hex::encode(Sha256::digest(std::fs::read(path).unwrap())), cell(row, "sha256"));
    assert_eq!(run(&["report", "message", "letter_x", "--out", path]).await.status.code(), Some(1));
    app.finish().await;
}
