//! What a person decides: by the commands, as an operator types them.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind, NewAccount, NewOffer};
use tokio::io::AsyncWriteExt;

use super::{done, refused, run};
use crate::support::TestApp;
use crate::support::process::{Process, command, post, url_of, world};
use crate::support::smtp::{Step, Trouble as SmtpTrouble};

async fn takes_created(app: &TestApp, offer: &str) {
    app.stripe_sends(&app.created(offer)).await.expect_kept();
    app.run_due_work().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_a_person_sends_again_goes_its_way_under_the_same_message_id(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let (refused_one, in_doubt) = (app.offer(), app.offer_to(Some("owner@rocket.example")));
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("550 5.7.1 not from you"), 1);
    takes_created(&app, &refused_one).await;
    app.relay.fail(Step::Dot, SmtpTrouble::TakeAndDrop, 1);
    takes_created(&app, &in_doubt).await;
    app.expect_letter(&refused_one, "rejected", Some("relay_refused")).await;
    app.expect_letter(&in_doubt, "held", Some("uncertain")).await;
    assert!(done(&app.db, &["offer", "show", &in_doubt]).await.contains("may have been sent"));

    for offer in [&refused_one, &in_doubt] {
        assert!(done(&app.db, &["offer", "resend", offer]).await.contains("the email is queued"));
    }
    // The command has the clock of the machine; the service here has its own, which is behind.
    sqlx::query("update jobs set due_at = $1")
        .bind(app.clock.now())
        .execute(&app.db)
        .await
        .unwrap();
    app.run_due_work().await;
    app.expect_delivered(&refused_one).await;
    app.expect_letter(&in_doubt, "sent", None).await;
    let ids: Vec<String> =
        app.relay.letters().iter().map(|letter| letter.header("Message-ID")).collect();
    assert_eq!((ids.len(), &ids[0]), (3, &ids[2]));
    let again = refused(&app.db, &["offer", "resend", &refused_one]).await;
    assert!(again.contains("no email that is held"), "{again}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_to_a_refused_address_says_so_and_goes_out_when_a_person_allows_it(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("550 5.1.1 unknown"), 1);
    takes_created(&app, &offer).await;
    let listed = done(&app.db, &["address", "list"]).await;
    assert!(
        listed.contains("refused 5.1.1") && listed.contains(&offer) && !listed.contains("jenny"),
        "{listed}"
    );
    let shown = done(&app.db, &["offer", "show", &offer]).await;
    assert!(
        shown.contains("its address is suppressed since") && shown.contains("address.refused"),
        "{shown}"
    );
    let told = done(&app.db, &["offer", "resend", &offer]).await;
    assert!(told.contains("its address is suppressed") && told.contains("held again"), "{told}");
    // The command has the clock of the machine; the service here has its own, which is behind.
    let make_due = sqlx::query("update jobs set due_at = $1").bind(app.clock.now());
    make_due.execute(&app.db).await.unwrap();
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("address_bounced")).await;
    assert!(done(&app.db, &["address", "list"]).await.contains("1 held"));

    let told = done(&app.db, &["address", "allow", "Jenny@bakery.example"]).await;
    assert!(told.contains("queued 1 held emails"), "{told}");
    assert_eq!(done(&app.db, &["address", "list"]).await, "");
    assert!(
        refused(&app.db, &["address", "allow", "jenny@bakery.example"])
            .await
            .contains("not suppressed")
    );
    assert_eq!(run(&app.db, &["address", "allow", "jenny"]).await.status.code(), Some(64));
    let make_due = sqlx::query("update jobs set due_at = $1").bind(app.clock.now());
    make_due.execute(&app.db).await.unwrap();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

/// Pipes a message into `bounce`, as a mail server does. Exit status, and what it said.
async fn piped(env: &HashMap<String, String>, message: &str) -> (Option<i32>, String) {
    let mut child = command(&["bounce"], env)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // One that is too large is not read to its end, and the pipe breaks.
    let _ = child.stdin.take().unwrap().write_all(message.as_bytes()).await;
    let ended = child.wait_with_output().await.unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(said).unwrap())
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_mail_server_pipes_reports_and_is_told_when_to_try_again(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    takes_created(&app, &offer).await;
    app.expect_delivered(&offer).await;
    let id: String = app.one("select message_id from letters where offer_id = $1", &offer).await;
    let report = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n\
         Final-Recipient: rfc822; jenny@bakery.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{id}>\r\n\r\n--b--\r\n"
    );
    let mut env = HashMap::from([("DATABASE_URL".to_owned(), url_of(&app.db))]);
    let (code, said) = piped(&env, "Subject: hello\r\n\r\nhello").await;
    assert!(code == Some(1) && said.contains("neither a delivery report"), "{said}");
    let (code, said) = piped(&env, &report).await;
    assert!(
        code == Some(0) && said.contains("the email is bounced") && said.contains(&offer),
        "{said}"
    );
    let (code, said) = piped(&env, &report).await;
    assert!(code == Some(0) && said.contains("already recorded"), "{said}");
    env.insert("DATABASE_URL".to_owned(), "postgres://nobody@127.0.0.1:1/nothing".to_owned());
    env.insert("COURIER_DATABASE__START_TIMEOUT".to_owned(), "1ms".to_owned());
    assert_eq!(piped(&env, &report).await.0, Some(75));
    app.expect_letter(&offer, "bounced", Some("status 5.1.1")).await;
    app.finish().await;
}

#[tokio::test]
async fn no_report_from_a_pipe_ends_in_a_crash_however_it_nests() {
    let env = HashMap::from([(
        "DATABASE_URL".to_owned(),
        "postgres://nobody@127.0.0.1:1/nothing".to_owned(),
    )]);
    for (bomb, message) in crate::feedback::reports::bombs() {
        let (code, said) = piped(&env, &message).await;
        assert!(code == Some(65) && said.contains("so not a report"), "{bomb}: {code:?} {said}");
    }
    let hundred_thousand = "Content-Type:message/rfc822\n\n".repeat(100_000);
    let (code, said) = piped(&env, &hundred_thousand).await;
    assert!(code == Some(65) && said.contains("larger than 1024 KB"), "{code:?} {said}");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_is_sent_again_says_what_became_of_it(db: PgPool) {
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
    let settled = async |offer: &str| loop {
        let state: Option<String> =
            sqlx::query_scalar("select state from letters where offer_id = $1")
                .bind(offer)
                .fetch_optional(&db)
                .await
                .unwrap();
        if state.is_some_and(|state| state == "held" || state == "rejected") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for offer in &offers {
        tokio::time::timeout(Duration::from_secs(30), settled(offer))
            .await
            .expect("it is decided about");
    }
    let told = done(&db, &["offer", "resend", &offers[0]]).await;
    assert!(
        told.contains("the email is queued") && told.contains("the email was sent: 250"),
        "{told}"
    );
    let told = refused(&db, &["offer", "resend", &offers[1]]).await;
    assert!(told.contains("held again: no_recipient") && told.contains("/contact"), "{told}");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_erasure_says_what_the_proof_keeps_and_knows_unknown_accounts(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    takes_created(&app, &offer).await;
    app.expect_delivered(&offer).await;
    let account: String =
        app.one("select account_id from letters where offer_id = $1", &offer).await;
    for arguments in [&["--yes"][..], &["--yes", "--json"], &["--yes", "--with-proof"], &[]] {
        let arguments = [&["account", "erase", "acct_unknown"], arguments].concat();
        assert!(refused(&app.db, &arguments).await.contains("account acct_unknown not found"));
    }
    let told = done(&app.db, &["account", "erase", &account, "--yes"]).await;
    assert!(
        told.contains("1 messages are kept as evidence") && told.contains("`--with-proof` erases"),
        "{told}"
    );
    let told = done(&app.db, &["account", "erase", &account, "--yes", "--with-proof"]).await;
    assert!(told.contains("1 pieces of evidence") && !told.contains("kept as evidence"), "{told}");
    // Once more finds nothing, and is no error: the account is known.
    let told = done(&app.db, &["account", "erase", &account, "--yes"]).await;
    assert!(told.contains("erased 0 emails") && !told.contains("kept as evidence"), "{told}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_a_person_withdraws_is_not_sent(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
    takes_created(&app, &offer).await;
    done(&app.db, &["offer", "withdraw", &offer]).await;
    app.after(chrono::TimeDelta::days(1)).await;
    app.expect_letter(&offer, "withdrawn", Some("operator")).await;
    app.expect_untouched(&offer).await;
    assert!(refused(&app.db, &["offer", "withdraw", &offer]).await.contains("waits or is held"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn dead_jobs_are_listed_and_done_after_all(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "1")]).await;
    let (letter, mark) = (app.offer(), app.offer());
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
    takes_created(&app, &letter).await;
    app.stripe.inject(Fault {
        method: "POST",
        path: "mark_delivered",
        times: 1,
        kind: FaultKind::DisconnectBefore,
    });
    takes_created(&app, &mark).await;
    let jobs: serde_json::Value =
        serde_json::from_str(&done(&app.db, &["job", "list", "--json"]).await).unwrap();
    assert_eq!(jobs.as_array().unwrap().len(), 2, "{jobs}");
    for job in jobs.as_array().unwrap() {
        done(&app.db, &["job", "retry", &job["job_id"].to_string()]).await;
    }
    assert_eq!(done(&app.db, &["job", "list"]).await, "");
    sqlx::query("update jobs set due_at = $1")
        .bind(app.clock.now())
        .execute(&app.db)
        .await
        .unwrap();
    app.run_due_work().await;
    for offer in [&letter, &mark] {
        app.expect_delivered(offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_event_is_shown_as_it_came_and_read_again_without_a_second_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let event = app.created(&offer);
    takes_created(&app, &offer).await;
    let id = event["id"].as_str().unwrap();
    let shown: serde_json::Value =
        serde_json::from_str(&done(&app.db, &["event", "show", id]).await).unwrap();
    assert_eq!(shown, event);
    assert!(done(&app.db, &["event", "list", "--state", "read"]).await.contains(id));
    done(&app.db, &["event", "replay", id]).await;
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    assert_eq!(app.relay.letters().len(), 1);
    assert!(refused(&app.db, &["event", "replay", "evt_unknown"]).await.contains("not found"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn offers_are_listed_and_shown_with_all_that_happened(db: PgPool) {
    let app = TestApp::start(db).await;
    let (delivered, expired) = (app.offer(), app.offer());
    takes_created(&app, &delivered).await;
    app.stripe.perform(Action::Expire, &expired).unwrap();
    app.stripe_sends(&app.event(&expired, "capital.financing_offer.expired")).await.expect_kept();
    app.run_due_work().await;
    let all = done(&app.db, &["offer", "list"]).await;
    assert!(
        all.contains(&delivered) && all.contains(&expired) && all.contains("$1,000.00"),
        "{all}"
    );
    let some = done(&app.db, &["offer", "list", "--status", "expired"]).await;
    assert!(!some.contains(&delivered) && some.contains(&expired), "{some}");
    let shown: serde_json::Value =
        serde_json::from_str(&done(&app.db, &["offer", "show", &delivered, "--json"]).await)
            .unwrap();
    assert_eq!(
        (&shown["letters"][0]["state"], &shown["delivery"]["state"]),
        (&"sent".into(), &"delivered".into())
    );
    assert!(!shown.to_string().contains("jenny@"), "{shown}");
    assert!(
        refused(&app.db, &["offer", "show", "financingoffer_unknown"]).await.contains("not found")
    );
    assert_eq!(run(&app.db, &["offer", "show", "nonsense"]).await.status.code(), Some(64));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn accounts_are_opted_out_and_in_again(db: PgPool) {
    let app = TestApp::start(db).await;
    done(&app.db, &["opt-out", "add", "acct_1", "--note", "by phone"]).await;
    let listed = done(&app.db, &["opt-out", "list"]).await;
    assert!(listed.contains("acct_1") && listed.contains("by phone"), "{listed}");
    done(&app.db, &["opt-out", "remove", "acct_1"]).await;
    assert_eq!(done(&app.db, &["opt-out", "list"]).await, "");
    assert!(refused(&app.db, &["opt-out", "remove", "acct_1"]).await.contains("not opted out"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_list_of_opt_outs_is_taken_in_whole_or_not_at_all_and_written_with_its_history(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.csv"), dir.path().join("bad.csv"));
    std::fs::write(
        &good,
        "account,note,opted_out_at\nacct_1,=1+1,2026-01-02\nacct_2,,\nacct_2,,\n",
    )
    .unwrap();
    std::fs::write(&bad, "account,opted_out_at\nacct_3,2026-01-02\nacct_4,soon\n").unwrap();
    let told = refused(&app.db, &["opt-out", "import", bad.to_str().unwrap()]).await;
    assert!(
        told.contains("nothing was imported") && told.contains("line 3, column opted_out_at"),
        "{told}"
    );
    assert_eq!(done(&app.db, &["opt-out", "list"]).await, "");
    let told = done(&app.db, &["opt-out", "import", good.to_str().unwrap()]).await;
    assert_eq!(told, "opted out 2 accounts; 1 were opted out already\n");
    let told = done(&app.db, &["opt-out", "import", good.to_str().unwrap()]).await;
    assert_eq!(told, "opted out 0 accounts; 3 were opted out already\n");
    done(&app.db, &["opt-out", "remove", "acct_2"]).await;

    let written = done(&app.db, &["opt-out", "export"]).await;
    let lines: Vec<&str> = written.lines().collect();
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
async fn a_key_is_made_shown_once_listed_without_its_secret_and_revoked(db: PgPool) {
    let app = TestApp::start(db).await;
    let create =
        ["api-key", "create", "--name", "dashboard", "--scope", "opt_outs:read", "opt_outs:write"];
    let made = done(&app.db, &create).await;
    let (id, secret) = (made.split_whitespace().next().unwrap(), made.lines().nth(1).unwrap());
    assert!(
        id.starts_with("key_") && secret.starts_with("courier_") && secret.len() == 51,
        "{made}"
    );
    let listed = done(&app.db, &["api-key", "list"]).await;
    assert!(
        listed.contains(id) && listed.contains("never used") && listed.contains("dashboard"),
        "{listed}"
    );
    assert!(
        listed.contains("opt_outs:read,opt_outs:write") && !listed.contains(secret),
        "{listed}"
    );
    done(&app.db, &["api-key", "revoke", id]).await;
    assert!(refused(&app.db, &["api-key", "revoke", id]).await.contains("no active key"));
    let listed = done(&app.db, &["api-key", "list", "--json"]).await;
    assert!(listed.contains("revoked_at") && !listed.contains(secret), "{listed}");
    let wrong = run(&app.db, &["api-key", "create", "--name", "x", "--scope", "everything"]).await;
    assert_eq!(wrong.status.code(), Some(64));
    app.finish().await;
}
