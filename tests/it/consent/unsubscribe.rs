//! The unsubscribe link as merchants, mail programs and mail scanners use it.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::browser::expect_each_once;
use crate::support::smtp::{Step, Trouble};

struct PageResponse {
    status: u16,
    headers: axum::http::HeaderMap,
    html: String,
}

async fn visit(app: &TestApp, method: &str, path: &str, body: &'static str) -> PageResponse {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap();
    let response = tower::ServiceExt::oneshot(app.app.router().unwrap(), request).await.unwrap();
    let (head, body) = response.into_parts();
    expect_each_once(&head.headers);
    let html = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    PageResponse { status: head.status.as_u16(), headers: head.headers, html }
}

/// Delivers a letter and returns the path of its unsubscribe link.
async fn path_in_letter(app: &TestApp, offer: &str) -> String {
    app.announce(offer).await;
    let letter = app.expect_delivered(offer).await;
    let header = letter.header("List-Unsubscribe");
    let link = header
        .strip_prefix("<https://courier.rocket.example")
        .and_then(|rest| rest.split_once('>'));
    let path = link.unwrap_or_else(|| panic!("no link in {header}")).0.to_owned();
    assert!(header.ends_with(", <mailto:help@rocket.example?subject=unsubscribe>"), "{header}");
    assert_eq!(letter.header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    let message = letter.message();
    assert!(message.body_text(0).unwrap().contains(&path), "the text has no link");
    assert!(message.body_html(0).unwrap().contains(&path), "the HTML has no link");
    path
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn opening_the_link_changes_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let path = path_in_letter(&app, &offer).await;
    for method in ["GET", "HEAD"] {
        let shown = visit(&app, method, &path, "").await;
        assert_eq!(shown.status, 200);
        assert!(method == "HEAD" || shown.html.contains("Unsubscribe</button>"), "{}", shown.html);
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(shown.headers[name], value);
        }
        assert!(
            shown.headers["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("frame-ancestors 'none'")
        );
    }
    assert!(app.active_opt_outs().await.is_empty());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_merchant_unsubscribes_and_subscribes_again(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let path = path_in_letter(&app, &offer).await;
    for _ in 0..2 {
        let shown = visit(&app, "POST", &path, "").await;
        assert!(
            shown.status == 200 && shown.html.contains("You’re unsubscribed"),
            "{}",
            shown.html
        );
        assert_eq!(app.active_opt_outs().await, ["link"]);
    }
    let shown = visit(&app, "POST", &path, "again=yes").await;
    assert!(
        shown.status == 200 && shown.html.contains("You’re subscribed again"),
        "{}",
        shown.html
    );
    assert!(app.active_opt_outs().await.is_empty());
    let kept: i64 = app.one("select count(*) from opt_outs where ended_by = $1", "link").await;
    assert_eq!(kept, 1, "the ended opt-out remains");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_page_shows_the_current_state(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let path = path_in_letter(&app, &offer).await;
    visit(&app, "POST", &path, "List-Unsubscribe=One-Click").await;
    let shown = visit(&app, "GET", &path, "").await;
    assert!(shown.status == 200 && shown.html.contains("You’re unsubscribed"), "{}", shown.html);
    assert!(shown.html.contains("name=\"again\" value=\"yes\""), "{}", shown.html);
    visit(&app, "POST", &path, "again=yes").await;
    let shown = visit(&app, "GET", &path, "").await;
    assert!(shown.status == 200 && shown.html.contains("Stop these emails?"), "{}", shown.html);
    app.opts_out(&app.account_of(&offer)).await;
    let shown = visit(&app, "GET", &path, "").await;
    assert!(
        shown.status == 200 && shown.html.contains("You’re still unsubscribed"),
        "{}",
        shown.html
    );
    assert!(!shown.html.contains("<form"), "nothing that the page could undo: {}", shown.html);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn subscribing_again_is_limited_and_unsubscribing_is_not(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let path = path_in_letter(&app, &offer).await;
    let mut again = Vec::new();
    for _ in 0..50 {
        assert_eq!(visit(&app, "POST", &path, "").await.status, 200, "stopping is never refused");
        again.push(visit(&app, "POST", &path, "again=yes").await);
    }
    let taken = again.iter().filter(|shown| shown.status == 200).count();
    let last = again.last().unwrap();
    assert_eq!(
        (taken, last.status, &last.headers["retry-after"]),
        (5, 429, &"3600".parse().unwrap())
    );
    assert!(last.html.contains("Please try again later"), "{}", last.html);
    let rows: i64 = app.one("select count(*) from opt_outs where source = $1", "link").await;
    assert_eq!((rows, app.active_opt_outs().await.len()), (6, 1));

    app.clock.advance(chrono::TimeDelta::hours(1));
    assert_eq!(visit(&app, "POST", &path, "again=yes").await.status, 200);
    assert!(app.active_opt_outs().await.is_empty());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_link_cannot_end_an_operators_opt_out(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let path = path_in_letter(&app, &offer).await;
    app.opts_out(&app.account_of(&offer)).await;
    let shown = visit(&app, "POST", &path, "again=yes").await;
    assert!(
        shown.status == 200 && shown.html.contains("You’re still unsubscribed"),
        "{}",
        shown.html
    );
    assert_eq!(app.active_opt_outs().await, ["operator"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn one_click_suppresses_a_queued_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let path = path_in_letter(&app, &offer).await;
    let next =
        app.stripe.create_offer(&app.account_of(&offer), &stripe_simulator::NewOffer::default());
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    app.announce(&next).await;
    app.expect_letter(&next, "waiting", None).await;

    let multipart = concat!(
        "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\n",
        "One-Click\r\n--b--\r\n"
    );
    for body in ["List-Unsubscribe=One-Click", multipart] {
        assert_eq!(visit(&app, "POST", &path, body).await.status, 200);
        assert_eq!(app.active_opt_outs().await, ["one_click"]);
    }
    app.expect_letter(&next, "suppressed", Some("opted_out")).await;
    app.after(chrono::TimeDelta::hours(1)).await;
    app.expect_letter(&next, "suppressed", Some("opted_out")).await;
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_page_uses_the_browsers_language(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let path = path_in_letter(&app, &offer).await;
    for (liked, says) in [
        ("de-DE,de;q=0.9,en;q=0.8", "Keine Nachrichten mehr?"),
        ("nl,fr-CA;q=0.8", "Ne plus recevoir ces messages\u{a0}?"),
        ("ja", "Stop these emails?"),
        ("", "Stop these emails?"),
    ] {
        let request =
            Request::get(&path).header("Accept-Language", liked).body(Body::empty()).unwrap();
        let response =
            tower::ServiceExt::oneshot(app.app.router().unwrap(), request).await.unwrap();
        let html = response.into_body().collect().await.unwrap().to_bytes();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(html.contains(says), "{liked}: {html}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_forged_link_changes_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    for path in
        ["/unsubscribe/acct_1", "/unsubscribe/YWNjdF8x.AAAAAAAAAAAAAAAAAAAAAA", "/unsubscribe/%00"]
    {
        for method in ["GET", "POST"] {
            let shown = visit(&app, method, path, "").await;
            assert!(
                shown.status == 404 && shown.html.contains("reply to the email"),
                "{path}: {}",
                shown.status
            );
        }
    }
    assert!(app.active_opt_outs().await.is_empty());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_page_admits_an_unknown_outcome(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let path = path_in_letter(&app, &offer).await;
    sqlx::query("alter table opt_outs rename to elsewhere").execute(&app.db).await.unwrap();
    let shown = visit(&app, "GET", &path, "").await;
    assert!(shown.status == 200 && shown.html.contains("Stop these emails?"), "{}", shown.html);
    let shown = visit(&app, "POST", &path, "").await;
    assert!(
        shown.status == 503 && shown.html.contains("We can’t tell whether that was saved"),
        "{}",
        shown.html
    );
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_a_public_url_only_mail_unsubscribes(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_HTTP__PUBLIC_URL", "")]).await;
    let offer = app.offer();
    app.announce(&offer).await;
    let letter = app.expect_delivered(&offer).await;
    assert_eq!(
        letter.header("List-Unsubscribe"),
        "<mailto:help@rocket.example?subject=unsubscribe>"
    );
    assert_eq!(letter.header("List-Unsubscribe-Post"), "");
    assert_eq!(visit(&app, "GET", "/unsubscribe/x", "").await.status, 404);
    app.finish().await;
}
