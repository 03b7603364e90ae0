//! What the pages show and do.

use sqlx::PgPool;

use super::{OURS, Operator, READ_ONLY_TOKEN, TOKEN, TOKENS, csrf_of};
use crate::support::TestApp;

const SCRIPT: &str = "<script>alert(1)</script>";

/// Every page of the navigation.
const PAGES: [&str; 9] = [
    "/console/emails",
    "/console/jobs",
    "/console/events",
    "/console/events/malformed",
    "/console/copy",
    "/console/opt-outs",
    "/console/addresses",
    "/console/acts",
    "/console/settings",
];

/// A dead job, and what others wrote that must not become markup.
async fn hostile(app: &TestApp) -> i64 {
    for insert in [
        "insert into malformed_bodies
             values (sha256('x'), '<script>alert(1)</script>', 'no JSON', 2, now(), now())",
        "insert into opt_outs (account_id, source, note, opted_out_at)
             values ('acct_quiet', 'operator', '<script>alert(1)</script>', now())",
        "insert into inbox_events (event_id, event_type, state, note, received_at, read_at)
             values ('evt_odd', 'capital.<script>alert(1)</script>', 'unreadable',
                 '<script>alert(1)</script>', now(), now())",
        "update letters set relay_reply = '<script>alert(1)</script>'",
    ] {
        sqlx::query(insert).execute(&app.db).await.unwrap();
    }
    sqlx::query_scalar(
        "insert into jobs (kind, key, subject, state, attempt, due_at, last_error, queued_at,
             finished_at)
         values ('look_up', 'look_up:acct_1', 'acct_1', 'dead', 5, now(),
             '<script>alert(1)</script>', now(), now())
         returning job_id",
    )
    .fetch_one(&app.db)
    .await
    .unwrap()
}

/// Acts of the log: name, operator, channel and reason.
async fn acts(app: &TestApp) -> Vec<(String, String, String, Option<String>)> {
    sqlx::query_as("select action, operator, channel, reason from operator_actions order by 1")
        .fetch_all(&app.db)
        .await
        .unwrap()
}

async fn with_offer(db: PgPool, settings: &[(&str, &str)]) -> (TestApp, String) {
    let app = TestApp::start_with(db, &[&TOKENS, settings].concat()).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    (app, offer)
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_page_shows_its_rows_and_runs_nothing_that_others_wrote(db: PgPool) {
    let (app, offer) = with_offer(db, &[]).await;
    hostile(&app).await;
    let operator = Operator::signed_in(&app, READ_ONLY_TOKEN).await;
    for path in PAGES {
        let page = operator.open(path).await;
        page.expect_says(&["<h1>", "· read only"]);
        page.expect_silent_about(&[SCRIPT, TOKEN, "jenny@bakery.example"]);
        // The only form of a reader is the one to sign out.
        assert_eq!(page.text.matches("method=\"post\"").count(), 1, "{path}");
    }
    operator.open("/console/emails").await.expect_says(&[&offer, "state good\">sent"]);
    operator.open("/console/emails?state=held").await.expect_says(&["No emails match"]);
    operator.open("/console/emails?kind=offer&state=sent").await.expect_says(&[&offer]);
    operator.open("/console/jobs").await.expect_says(&["acct_1", "&lt;script&gt;", "look up"]);
    operator.open("/console/events?state=unreadable").await.expect_says(&["evt_odd"]);
    let event = app.created(&offer)["id"].as_str().unwrap().to_owned();
    operator.open(&format!("/console/events/{event}")).await.expect_says(&["payload", &offer]);
    operator.open("/console/events?type=financing_offer.created").await.expect_says(&[&event]);
    operator.open("/console/events/evt_odd").await.expect_says(&["The body was erased"]);
    operator.open("/console/opt-outs").await.expect_says(&["acct_quiet", "in force"]);
    operator.open("/console/settings").await.expect_says(&[
        "ops.token",
        "https://courier.rocket.example",
        "COURIER_HTTP__PUBLIC_URL",
    ]);
    assert_eq!(operator.open("/console/events/evt_none").await.status, 404);
    sqlx::query("delete from inbox_events where event_id = 'evt_odd'")
        .execute(&app.db)
        .await
        .unwrap();
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn each_act_is_done_and_logged_once_and_never_for_a_reader(db: PgPool) {
    let (app, offer) = with_offer(db, &[]).await;
    let job = hostile(&app).await;
    let event = app.created(&offer)["id"].as_str().unwrap().to_owned();
    let acts_by = |account: &'static str| {
        [
            (format!("/console/jobs/{job}/retry"), vec![]),
            (format!("/console/events/{event}/replay"), vec![]),
            ("/console/opt-outs/add".to_owned(), vec![("account", account)]),
            ("/console/opt-outs/end".to_owned(), vec![("account", account)]),
        ]
    };
    let reader = Operator::signed_in(&app, READ_ONLY_TOKEN).await;
    for (path, fields) in acts_by("acct_2") {
        let refused = reader.submit(&path, &[&fields[..], &[("reason", "why")]].concat()).await;
        assert_eq!(refused.status, 403, "{path}");
    }
    let operator = Operator::signed_in(&app, TOKEN).await;
    for (path, fields) in acts_by("acct_2") {
        for reason in ["", "  ", "two\nlines"] {
            let fields = [&fields[..], &[("reason", reason)]].concat();
            assert_eq!(operator.submit(&path, &fields).await.status, 400, "{path} {reason:?}");
        }
        let csrf = csrf_of(&operator.open("/console/jobs").await);
        let forged = [("csrf", csrf.as_str()), ("reason", "why")];
        let foreign = [("Origin", "https://evil.example")];
        assert_eq!(operator.post(&path, &forged, &foreign).await.status, 403, "{path}");
        assert_eq!(operator.post(&path, &forged[1..], &OURS).await.status, 403, "{path}");
    }
    assert_eq!(acts(&app).await, []);

    for (path, fields) in acts_by("acct_2") {
        let reason = [("reason", "asked by phone")];
        let done = operator.submit(&path, &[&fields[..], &reason].concat()).await;
        assert_eq!(done.status, 303, "{path}: {}", done.text);
        operator.open(done.header("location")).await.expect_says(&["class=\"said\""]);
    }
    let names: Vec<String> = acts(&app)
        .await
        .into_iter()
        .map(|(name, operator, channel, reason)| {
            assert_eq!((operator.as_str(), channel.as_str()), ("Ada", "console"));
            assert_eq!(reason.as_deref(), Some("asked by phone"));
            name
        })
        .collect();
    assert_eq!(names, ["event.replay", "job.retry", "opt_out.add", "opt_out.remove"]);
    operator.open("/console/acts").await.expect_says(&["asked by phone", "job.retry", "Ada"]);
    let again = operator.submit(&format!("/console/jobs/{job}/retry"), &[("reason", "x")]).await;
    assert_eq!(again.status, 409, "{}", again.text);
    assert_eq!(acts(&app).await.len(), 4);
    sqlx::query("delete from inbox_events where event_id = 'evt_odd'")
        .execute(&app.db)
        .await
        .unwrap();
    app.run_due_work().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_approval_is_recorded_and_withdrawn(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("celtic_us_loan")).unwrap();
    std::fs::write(dir.path().join("celtic_us_loan/en.txt"), "Loans are issued by a bank.")
        .unwrap();
    let path = dir.path().to_str().unwrap();
    let (app, _) = with_offer(db, &[("COURIER_EMAIL__DISCLAIMERS_DIR", path)]).await;
    let operator = Operator::signed_in(&app, TOKEN).await;
    operator.open("/console/copy").await.expect_says(&["celtic_us_loan", "not approved"]);
    let query = "variant=celtic_us_loan&language=en&kind=offer";
    let preview = operator.open(&format!("/console/copy/preview?{query}")).await;
    preview.expect_says(&["<iframe sandbox=\"\""]);
    let text = operator.open(&format!("/console/copy/preview?{query}&view=text")).await;
    text.expect_says(&["Loans are issued by a bank."]);
    let frame = operator.open(&format!("/console/copy/preview.html?{query}")).await;
    frame.expect_says(&["Loans are issued by a bank."]);
    let policy = frame.header("content-security-policy");
    assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{policy}");
    let unknown = operator.open("/console/copy/preview?variant=x&language=en&kind=offer").await;
    assert_eq!(unknown.status, 404);

    let nowhere = [("market", "GB"), ("reference", "CCR-1"), ("reason", "by mail")];
    assert_eq!(operator.submit("/console/copy/approve", &nowhere).await.status, 409);
    let us = [("market", "us"), ("reference", "CCR-1"), ("reason", "by mail")];
    let done = operator.submit("/console/copy/approve", &us).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let page = operator.open("/console/copy").await;
    page.expect_says(&["CCR-1", "by Ada"]);
    page.expect_silent_about(&["not approved"]);

    let hash = page.text.split("name=\"hash\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let withdrawal = [("hash", hash), ("market", "US"), ("reason", "Stripe asked")];
    assert_eq!(operator.submit("/console/copy/withdraw", &withdrawal).await.status, 303);
    operator.open("/console/copy").await.expect_says(&["not approved", "CCR-1"]);
    let names: Vec<String> = acts(&app).await.into_iter().map(|act| act.0).collect();
    assert_eq!(names, ["wording.approve", "wording.withdraw"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_address_is_allowed_again(db: PgPool) {
    let (app, _) = with_offer(db, &[]).await;
    sqlx::query(
        "insert into suppressed_addresses (address_sha256, reason, status, letter_id, suppressed_at)
         select sha256('jenny@bakery.example'), 'bounce', '5.1.1', letter_id, now() from letters",
    )
    .execute(&app.db)
    .await
    .unwrap();
    let operator = Operator::signed_in(&app, TOKEN).await;
    operator.open("/console/addresses").await.expect_says(&["5.1.1", "bounced"]);
    let fields = [("address", "Jenny@bakery.example"), ("reason", "new mailbox")];
    let done = operator.submit("/console/addresses/allow", &fields).await;
    assert_eq!(done.status, 303, "{}", done.text);
    operator.open("/console/addresses").await.expect_says(&["No suppressed addresses"]);
    assert_eq!(acts(&app).await[0].0, "address.allow");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn long_lists_are_read_to_their_end_by_cursors(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    sqlx::query(
        "insert into inbox_events (event_id, event_type, state, received_at, read_at)
         select 'evt_' || n, case when n % 40 = 0 then 'capital.rare' else 'charge.common' end,
             'ignored', timestamptz '2026-11-01' + n / 2 * interval '1 minute', now()
         from generate_series(1, 2400) n",
    )
    .execute(&app.db)
    .await
    .unwrap();
    sqlx::query(
        "insert into jobs (kind, key, subject, state, due_at, queued_at, finished_at)
         select 'look_up', 'look_up:' || n, 'acct_' || n, 'dead', now(), now(), now()
         from generate_series(1, 120) n",
    )
    .execute(&app.db)
    .await
    .unwrap();
    let operator = Operator::signed_in(&app, TOKEN).await;
    for (start, row, rows, pages) in [
        ("/console/events", ">evt_", 2400, 48),
        // A filter without an index looks at 1000 rows for a page.
        ("/console/events?type=rare", ">evt_", 60, 3),
        ("/console/jobs?kind=look_up", ">acct_", 120, 3),
    ] {
        let (mut path, mut seen, mut opened) = (start.to_owned(), 0, 0);
        loop {
            let page = operator.open(&path).await;
            page.expect_says(&["<h1>"]);
            (seen, opened) = (seen + page.text.matches(row).count(), opened + 1);
            let next = page.text.split("\" rel=\"next\"").next().unwrap();
            if next.len() == page.text.len() {
                break;
            }
            path = next.rsplit("href=\"").next().unwrap().replace("&amp;", "&");
        }
        assert_eq!((seen, opened), (rows, pages), "{start}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_search_opens_the_one_hit(db: PgPool) {
    let (app, offer) = with_offer(db, &[]).await;
    let operator = Operator::signed_in(&app, READ_ONLY_TOKEN).await;
    let event = app.created(&offer)["id"].as_str().unwrap().to_owned();
    let letter: String = app.one("select letter_id from letters where offer_id = $1", &offer).await;
    for (wanted, page) in [
        (&event, format!("/console/events/{event}")),
        (&offer, format!("/console/offers/{offer}")),
        (&letter, format!("/console/emails/{letter}")),
    ] {
        let found = operator.open(&format!("/console/search?q={wanted}")).await;
        assert_eq!((found.status, found.header("location")), (303, page.as_str()));
    }
    for odd in ["'%20or%201=1--", "evt_x'%20or%20'1", "acct_none", "%3Cscript%3E", ""] {
        let page = operator.open(&format!("/console/search?q={odd}")).await;
        page.expect_says(&["found by their whole name"]);
        page.expect_silent_about(&["<script>"]);
    }
    app.finish().await;
}
