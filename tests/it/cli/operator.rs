//! An operator's decisions, made with commands.

use std::collections::HashMap;

use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind, NewAccount, NewOffer};
use tokio::io::AsyncWriteExt;

use super::{run, run_err, run_ok};
use crate::support::TestApp;
use crate::support::expect_letters::letter_state;
use crate::support::process::{Process, command, post, url_of, world};
use crate::support::smtp::{Step, Trouble as SmtpTrouble};
use crate::support::wait::eventually;

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_resent_letter_keeps_its_message_id(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let (rejected, uncertain) = (app.offer(), app.offer_to(Some("owner@rocket.example")));
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("550 5.7.1 not from you"), 1);
    app.announce(&rejected).await;
    app.relay.fail(Step::Dot, SmtpTrouble::TakeAndDrop, 1);
    app.announce(&uncertain).await;
    app.expect_letter(&rejected, "rejected", Some("relay_refused")).await;
    app.expect_letter(&uncertain, "held", Some("uncertain")).await;
    assert!(run_ok(&app.db, &["offer", "show", &uncertain]).await.contains("may have been sent"));

    for offer in [&rejected, &uncertain] {
        assert!(run_ok(&app.db, &["offer", "resend", offer]).await.contains("the email is queued"));
    }
    app.make_jobs_due().await;
    app.run_due_work().await;
    app.expect_delivered(&rejected).await;
    app.expect_letter(&uncertain, "sent", None).await;
    let message_ids: Vec<String> =
        app.relay.letters().iter().map(|letter| letter.header("Message-ID")).collect();
    assert_eq!((message_ids.len(), &message_ids[0]), (3, &message_ids[2]));
    // The operator's act is in the timeline; it does not pass for the relay's reply.
    let shown = run_ok(&app.db, &["offer", "show", &uncertain]).await;
    assert!(shown.contains("resent by an operator"), "{shown}");
    let reply: String =
        app.one("select relay_reply from letters where offer_id = $1", &rejected).await;
    assert!(reply.starts_with("250"), "{reply}");
    let error = run_err(&app.db, &["offer", "resend", &rejected]).await;
    assert!(error.contains("no email that is held"), "{error}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn allowing_a_suppressed_address_releases_its_held_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("550 5.1.1 unknown"), 1);
    app.announce(&offer).await;
    let listed = run_ok(&app.db, &["address", "list"]).await;
    assert!(
        listed.contains("refused 5.1.1") && listed.contains(&offer) && !listed.contains("jenny"),
        "{listed}"
    );
    let shown = run_ok(&app.db, &["offer", "show", &offer]).await;
    assert!(
        shown.contains("its address is suppressed since") && shown.contains("address.refused"),
        "{shown}"
    );
    let output = run_ok(&app.db, &["offer", "resend", &offer]).await;
    assert!(
        output.contains("its address is suppressed") && output.contains("held again"),
        "{output}"
    );
    app.make_jobs_due().await;
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("address_bounced")).await;
    assert!(run_ok(&app.db, &["address", "list"]).await.contains("1 held"));

    let output = run_ok(&app.db, &["address", "allow", "Jenny@bakery.example"]).await;
    assert!(output.contains("queued 1 held emails"), "{output}");
    assert_eq!(run_ok(&app.db, &["address", "list"]).await, "");
    assert!(
        run_err(&app.db, &["address", "allow", "jenny@bakery.example"])
            .await
            .contains("not suppressed")
    );
    assert_eq!(run(&app.db, &["address", "allow", "jenny"]).await.status.code(), Some(64));
    app.make_jobs_due().await;
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

/// Pipes a message into `bounce`, as a mail server does. Returns the exit code and the output.
async fn pipe_to_bounce(env: &HashMap<String, String>, message: &str) -> (Option<i32>, String) {
    let mut child = command(&["bounce"], env)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // `bounce` stops reading a message that is too large, and the pipe breaks.
    let _ = child.stdin.take().unwrap().write_all(message.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn bounce_records_each_report_once_and_exits_75_without_database(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    let message_id = app.message_id(&offer).await;
    let report = format!(
        "MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n\
         Final-Recipient: rfc822; jenny@bakery.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{message_id}>\r\n\r\n\
         --b--\r\n"
    );
    let mut env = HashMap::from([("DATABASE_URL".to_owned(), url_of(&app.db))]);
    let (code, output) = pipe_to_bounce(&env, "Subject: hello\r\n\r\nhello").await;
    assert!(code == Some(1) && output.contains("neither a delivery report"), "{output}");
    let (code, output) = pipe_to_bounce(&env, &report).await;
    assert!(
        code == Some(0) && output.contains("the email is bounced") && output.contains(&offer),
        "{output}"
    );
    let (code, output) = pipe_to_bounce(&env, &report).await;
    assert!(code == Some(0) && output.contains("already recorded"), "{output}");
    env.insert("DATABASE_URL".to_owned(), "postgres://nobody@127.0.0.1:1/nothing".to_owned());
    env.insert("COURIER_DATABASE__START_TIMEOUT".to_owned(), "1ms".to_owned());
    assert_eq!(pipe_to_bounce(&env, &report).await.0, Some(75));
    app.expect_letter(&offer, "bounced", Some("status 5.1.1")).await;
    app.finish().await;
}

#[tokio::test]
async fn deeply_nested_and_oversized_reports_are_rejected_without_a_crash() {
    let env = HashMap::from([(
        "DATABASE_URL".to_owned(),
        "postgres://nobody@127.0.0.1:1/nothing".to_owned(),
    )]);
    for (bomb, message) in crate::feedback::reports::bombs() {
        let (code, output) = pipe_to_bounce(&env, &message).await;
        assert!(
            code == Some(65) && output.contains("so not a report"),
            "{bomb}: {code:?} {output}"
        );
    }
    let oversized = "Content-Type:message/rfc822\n\n".repeat(100_000);
    let (code, output) = pipe_to_bounce(&env, &oversized).await;
    assert!(code == Some(65) && output.contains("larger than 1024 KB"), "{code:?} {output}");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn offer_resend_prints_the_outcome_of_the_attempt(db: PgPool) {
    let (stripe, relay, env) = world(&db).await;
    let process = Process::serve(&env).await;
    relay.fail(Step::Rcpt(0), SmtpTrouble::Say("550 5.7.1 not from you"), 1);
    let offers: Vec<String> = [Some("jenny@bakery.example"), None]
        .map(|email| {
            let email = email.map(str::to_owned);
            let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
            stripe.create_offer(&account, &NewOffer::default())
        })
        .to_vec();
    for event in stripe.events() {
        assert_eq!(
            post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&event).unwrap()).await,
            200
        );
    }
    for offer in &offers {
        let needs_operator = async || {
            let state = letter_state(&db, offer).await;
            state.is_some_and(|state| state == "held" || state == "rejected")
        };
        eventually(|| process.logged(), needs_operator).await;
    }
    let output = run_ok(&db, &["offer", "resend", &offers[0]]).await;
    assert!(
        output.contains("the email is queued")
            && output.contains("sent to j***@bakery.example in ")
            && output.contains(" s: 250"),
        "{output}"
    );
    let output = run_err(&db, &["offer", "resend", &offers[1]]).await;
    assert!(
        output.contains("held again: no_recipient") && output.contains("`contact set`"),
        "{output}"
    );
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn account_erase_reports_kept_evidence_and_rejects_unknown_accounts(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    let account = app.account_of(&offer);
    for arguments in [&["--yes"][..], &["--yes", "--json"], &["--yes", "--with-proof"], &[]] {
        let arguments = [&["account", "erase", "acct_unknown"], arguments].concat();
        assert!(run_err(&app.db, &arguments).await.contains("account acct_unknown not found"));
    }
    let output =
        run_ok(&app.db, &["account", "erase", &account, "--yes", "--reason", "request 7"]).await;
    assert!(
        output.contains("kept in the evidence, with address and content: 1 (`--with-proof` erases"),
        "{output}"
    );
    let output = run_ok(
        &app.db,
        &["account", "erase", &account, "--yes", "--with-proof", "--why", "request 7"],
    )
    .await;
    assert!(
        output.contains("messages in the evidence: 1") && !output.contains("kept in the evidence"),
        "{output}"
    );
    // A repeated erasure finds nothing. It is not an error, because the account is known.
    let output =
        run_ok(&app.db, &["account", "erase", &account, "--yes", "--reason", "request 7"]).await;
    assert!(
        output.contains("erased emails: 0") && !output.contains("kept in the evidence"),
        "{output}"
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_withdrawn_by_an_operator_is_never_sent(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
    app.announce(&offer).await;
    run_ok(&app.db, &["offer", "withdraw", &offer]).await;
    app.after(chrono::TimeDelta::days(1)).await;
    app.expect_letter(&offer, "withdrawn", Some("operator")).await;
    app.expect_untouched(&offer).await;
    assert!(run_err(&app.db, &["offer", "withdraw", &offer]).await.contains("waits or is held"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn dead_jobs_are_listed_and_succeed_when_retried(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "1")]).await;
    let (unsent, unmarked) = (app.offer(), app.offer());
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
    app.announce(&unsent).await;
    app.stripe.inject(Fault {
        method: "POST",
        path: "mark_delivered",
        times: 1,
        kind: FaultKind::DisconnectBefore,
    });
    app.announce(&unmarked).await;
    let jobs: serde_json::Value =
        serde_json::from_str(&run_ok(&app.db, &["job", "list", "--json"]).await).unwrap();
    assert_eq!(jobs.as_array().unwrap().len(), 2, "{jobs}");
    for job in jobs.as_array().unwrap() {
        run_ok(&app.db, &["job", "retry", &job["job_id"].to_string()]).await;
    }
    assert_eq!(run_ok(&app.db, &["job", "list"]).await, "");
    app.make_jobs_due().await;
    app.run_due_work().await;
    for offer in [&unsent, &unmarked] {
        app.expect_delivered(offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_event_is_shown_unchanged_and_replayed_without_a_second_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let event = app.created(&offer);
    app.announce(&offer).await;
    let id = event["id"].as_str().unwrap();
    let shown: serde_json::Value =
        serde_json::from_str(&run_ok(&app.db, &["event", "show", id]).await).unwrap();
    assert_eq!(shown, event);
    assert!(run_ok(&app.db, &["event", "list", "--state", "read"]).await.contains(id));
    run_ok(&app.db, &["event", "replay", id]).await;
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    assert_eq!(app.relay.letters().len(), 1);
    assert!(run_err(&app.db, &["event", "replay", "evt_unknown"]).await.contains("is unknown"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn offers_are_listed_by_status_and_shown_with_their_letters(db: PgPool) {
    let app = TestApp::start(db).await;
    let (delivered, expired) = (app.offer(), app.offer());
    app.announce(&delivered).await;
    app.stripe.perform(Action::Expire, &expired).unwrap();
    app.stripe_sends(&app.event(&expired, "capital.financing_offer.expired")).await.expect_kept();
    app.run_due_work().await;
    let all = run_ok(&app.db, &["offer", "list"]).await;
    assert!(
        all.contains(&delivered) && all.contains(&expired) && all.contains("$1,000.00"),
        "{all}"
    );
    let expired_only = run_ok(&app.db, &["offer", "list", "--status", "expired"]).await;
    assert!(
        !expired_only.contains(&delivered) && expired_only.contains(&expired),
        "{expired_only}"
    );
    let shown: serde_json::Value =
        serde_json::from_str(&run_ok(&app.db, &["offer", "show", &delivered, "--json"]).await)
            .unwrap();
    assert_eq!(
        (&shown["letters"][0]["state"], &shown["delivery"]["state"]),
        (&"sent".into(), &"delivered".into())
    );
    assert!(!shown.to_string().contains("jenny@"), "{shown}");
    assert!(
        run_err(&app.db, &["offer", "show", "financingoffer_unknown"]).await.contains("not found")
    );
    assert_eq!(run(&app.db, &["offer", "show", "nonsense"]).await.status.code(), Some(64));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_opt_out_is_added_listed_and_removed(db: PgPool) {
    let app = TestApp::start(db).await;
    run_ok(&app.db, &["opt-out", "add", "acct_1", "--note", "by phone"]).await;
    let listed = run_ok(&app.db, &["opt-out", "list"]).await;
    assert!(listed.contains("acct_1") && listed.contains("by phone"), "{listed}");
    run_ok(&app.db, &["opt-out", "remove", "acct_1"]).await;
    assert_eq!(run_ok(&app.db, &["opt-out", "list"]).await, "");
    assert!(run_err(&app.db, &["opt-out", "remove", "acct_1"]).await.contains("not opted out"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn opt_outs_are_imported_atomically_and_exported_with_their_history(db: PgPool) {
    let app = TestApp::start(db).await;
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.csv"), dir.path().join("bad.csv"));
    std::fs::write(
        &good,
        "account,note,opted_out_at\nacct_1,=1+1,2026-01-02\nacct_2,,\nacct_2,,\n",
    )
    .unwrap();
    std::fs::write(&bad, "account,opted_out_at\nacct_3,2026-01-02\nacct_4,soon\n").unwrap();
    let output = run_err(&app.db, &["opt-out", "import", bad.to_str().unwrap()]).await;
    assert!(
        output.contains("nothing was imported") && output.contains("line 3, column opted_out_at"),
        "{output}"
    );
    assert_eq!(run_ok(&app.db, &["opt-out", "list"]).await, "");
    let output = run_ok(&app.db, &["opt-out", "import", good.to_str().unwrap()]).await;
    assert_eq!(output, "opted out 2 accounts; 1 were opted out already\n");
    let output = run_ok(&app.db, &["opt-out", "import", good.to_str().unwrap()]).await;
    assert_eq!(output, "opted out 0 accounts; 3 were opted out already\n");
    run_ok(&app.db, &["opt-out", "remove", "acct_2"]).await;

    let exported = run_ok(&app.db, &["opt-out", "export"]).await;
    let lines: Vec<&str> = exported.lines().collect();
    assert_eq!(lines[0], "account,source,note,opted_out_at,ended_at,ended_by");
    assert_eq!(lines[1], "acct_1,import,'=1+1,2026-01-02T00:00:00Z,,");
    assert!(
        lines[2].starts_with("acct_2,import,,") && lines[2].ends_with("Z,operator"),
        "{}",
        lines[2]
    );
    assert_eq!(lines.len(), 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_api_key_shows_its_secret_only_when_created(db: PgPool) {
    let app = TestApp::start(db).await;
    let create =
        ["api-key", "create", "--name", "dashboard", "--scope", "opt_outs:read", "opt_outs:write"];
    let created = run_ok(&app.db, &create).await;
    let (id, secret) =
        (created.split_whitespace().next().unwrap(), created.lines().nth(1).unwrap());
    assert!(
        id.starts_with("key_") && secret.starts_with("courier_") && secret.len() == 51,
        "{created}"
    );
    let listed = run_ok(&app.db, &["api-key", "list"]).await;
    assert!(
        listed.contains(id) && listed.contains("never used") && listed.contains("dashboard"),
        "{listed}"
    );
    assert!(
        listed.contains("opt_outs:read,opt_outs:write") && !listed.contains(secret),
        "{listed}"
    );
    run_ok(&app.db, &["api-key", "revoke", id]).await;
    assert!(run_err(&app.db, &["api-key", "revoke", id]).await.contains("no active key"));
    let listed = run_ok(&app.db, &["api-key", "list", "--json"]).await;
    assert!(listed.contains("revoked_at") && !listed.contains(secret), "{listed}");
    let unknown_scope =
        run(&app.db, &["api-key", "create", "--name", "x", "--scope", "everything"]).await;
    assert_eq!(unknown_scope.status.code(), Some(64));
    app.finish().await;
}
