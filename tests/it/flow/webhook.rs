//! What `POST /webhooks/stripe` accepts, and the code with which it refuses the rest.

use axum::body::Body;
use axum::http::Request;
use capital_courier::clock::Clock;
use capital_courier::flow::webhook::SecretId;
use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::sign;

use crate::support::{SECRET, TestApp};

fn signed(app: &TestApp, body: &[u8]) -> String {
    sign(body, &[SECRET.to_owned()], app.clock.now())
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_request_without_a_valid_signature_is_not_stored(db: PgPool) {
    let app = TestApp::start(db).await;
    let body = serde_json::to_vec(&app.created(&app.offer())).unwrap();
    let good = signed(&app, &body);

    app.post(body.clone(), None).await.expect_refused(400, "missing_signature");
    app.post(body.clone(), Some("")).await.expect_refused(400, "missing_signature");
    app.post(body.clone(), Some("nonsense")).await.expect_refused(400, "bad_signature");
    app.post(body.clone(), Some(&format!("{good},{good}")))
        .await
        .expect_refused(400, "bad_signature");
    let other = sign(&body, &["whsec_other".to_owned()], app.clock.now());
    app.post(body.clone(), Some(&other)).await.expect_refused(400, "bad_signature");
    let mut changed = body.clone();
    changed.push(b' ');
    app.post(changed, Some(&good)).await.expect_refused(400, "bad_signature");
    app.clock.advance(TimeDelta::seconds(301));
    app.post(body.clone(), Some(&good)).await.expect_refused(400, "timestamp_outside_tolerance");
    app.clock.advance(TimeDelta::seconds(-602));
    app.post(body, Some(&good)).await.expect_refused(400, "timestamp_outside_tolerance");

    assert_eq!(app.stored_events().await, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_event_names_the_secret_that_signed_it(db: PgPool) {
    let both = format!("whsec_new,{SECRET}");
    let app = TestApp::start_with(db, &[("STRIPE_WEBHOOK_SECRET", &both)]).await;
    let [new, old] = ["whsec_new", SECRET].map(|secret| SecretId::of(&secret.into()));
    for (secret, named) in [(SECRET, &old), ("whsec_new", &new)] {
        let offer = app.offer();
        let body = serde_json::to_vec(&app.created(&offer)).unwrap();
        let signature = sign(&body, &[secret.to_owned()], app.clock.now());
        app.post(body, Some(&signature)).await.expect_kept();
        let signer: String =
            app.one("select signed_with from inbox_events where object_id = $1", &offer).await;
        assert_eq!(signer, named.as_str());
        assert!(!secret.contains(&signer));
    }
    app.run_due_work().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_body_over_the_limit_is_refused_with_any_length_header(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_WEBHOOK__MAX_BODY_BYTES", "2000")]).await;
    let body = vec![b'x'; 2001];
    let signature = signed(&app, &body);
    app.post(body.clone(), Some(&signature)).await.expect_refused(413, "body_too_large");
    let chunks =
        body.chunks(500).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let stream = Body::from_stream(futures_util::stream::iter(chunks));
    let request = Request::post("/webhooks/stripe")
        .header("Stripe-Signature", &signature)
        .body(stream)
        .unwrap();
    app.ask(request).await.expect_refused(413, "body_too_large");
    let announced = Request::post("/webhooks/stripe")
        .header("Stripe-Signature", &signature)
        .header("Content-Length", "2001")
        .body(Body::empty())
        .unwrap();
    app.ask(announced).await.expect_refused(413, "body_too_large");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_body_that_never_ends_times_out(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_WEBHOOK__READ_TIMEOUT", "50ms")]).await;
    let never = futures_util::stream::pending::<std::io::Result<Vec<u8>>>();
    let request = Request::post("/webhooks/stripe").header("Stripe-Signature", signed(&app, b""));
    app.ask(request.body(Body::from_stream(never)).unwrap())
        .await
        .expect_refused(408, "body_too_slow");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_malformed_signature_is_refused_before_the_body_is_read(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_WEBHOOK__READ_TIMEOUT", "1h")]).await;
    let good = signed(&app, b"");
    let without_v1 = good.split(',').next().unwrap();
    for (signature, code) in [
        (None, "missing_signature"),
        (Some(""), "missing_signature"),
        (Some("nonsense"), "bad_signature"),
        (Some(without_v1), "bad_signature"),
    ] {
        let mut request = Request::post("/webhooks/stripe").header("Content-Length", "524289");
        if let Some(signature) = signature {
            request = request.header("Stripe-Signature", signature);
        }
        // A body that never ends.
        let never = Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
        let answer = app.ask(request.body(never).unwrap());
        let answer = tokio::time::timeout(std::time::Duration::from_secs(30), answer).await;
        answer.expect("waits for the body").expect_refused(400, code);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_signed_body_that_is_not_an_event_is_stored_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let bodies: [&[u8]; 4] = [b"", b"{\"id\":", b"[1,2]", b"{\"id\":\"\xff\xfe\"}"];
    for body in bodies {
        for _ in 0..2 {
            app.stripe_sends_bytes(body.to_vec()).await.expect_refused(400, "malformed_event");
        }
    }
    let rows: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("select body, receipts from malformed_bodies order by length(body), body")
            .fetch_all(&app.db)
            .await
            .unwrap();
    let mut expected: Vec<(Vec<u8>, i64)> = bodies.map(|body| (body.to_vec(), 2)).into();
    expected.sort_by_key(|(body, _)| (body.len(), body.clone()));
    assert_eq!(rows, expected);
    assert_eq!(app.stored_events().await, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn events_that_are_not_about_capital_are_ignored(db: PgPool) {
    let app = TestApp::start(db).await;
    for body in [
        r#"{"id":"evt_1","object":"event","type":"charge.succeeded","created":1795521600,
            "livemode":false,"request":"req_1"}"#,
        r#"{"id":"evt_2","object":"v2.core.event","type":"v1.billing.meter",
            "created":"2026-11-24T12:00:00Z"}"#,
        r#"{"id":"evt_3"}"#,
    ] {
        app.stripe_sends_bytes(body.as_bytes().to_vec()).await.expect_kept();
    }
    app.run_due_work().await;
    assert_eq!(app.events_in_state("ignored").await, 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_body_is_stored_byte_for_byte(db: PgPool) {
    let app = TestApp::start(db).await;
    let body =
        b"\r\n  {\"id\" :\t\"evt_odd\",  \"type\":\"x\", \"type\":\"charge.x\", \"n\": 1.0e3}\n\n"
            .to_vec();
    app.stripe_sends_bytes(body.clone()).await.expect_kept();
    let kept: Vec<u8> =
        app.one("select body from inbox_bodies where event_id = $1", "evt_odd").await;
    assert_eq!(kept, body);
    app.run_due_work().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unavailable_database_makes_stripe_retry(db: PgPool) {
    let app = TestApp::start(db).await;
    let event = app.created(&app.offer());
    // Without its table, the webhook finds the database unavailable.
    sqlx::query("alter table inbox_events rename to elsewhere").execute(&app.db).await.unwrap();
    app.stripe_sends(&event).await.expect_refused(503, "not_kept");
    sqlx::query("alter table elsewhere rename to inbox_events").execute(&app.db).await.unwrap();
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn livez_checks_nothing_and_readyz_checks_writes_and_schema(db: PgPool) {
    let app = TestApp::start(db).await;
    let ask = async |path: &str| app.ask(Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(ask("/livez").await.status, 200);
    assert_eq!(ask("/readyz").await.status, 200);

    // A new router each time, because the result is cached for a second.
    let fresh = async || {
        let router = capital_courier::web::ops::router(app.db.clone().into(), app.clock.clone());
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        tower::ServiceExt::oneshot(router, request).await.unwrap().status().as_u16()
    };
    sqlx::query(
        "update _sqlx_migrations
         set version = version - 1
         where version = (select max(version) from _sqlx_migrations)",
    )
    .execute(&app.db)
    .await
    .unwrap();
    assert_eq!(fresh().await, 503);
    app.db.close().await;
    assert_eq!(fresh().await, 503);
    assert_eq!(ask("/livez").await.status, 200);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_full_disk_makes_the_service_not_ready(db: PgPool) {
    // Connections that may write anything but temporary files, as if the disk were full.
    let options = (*db.connect_options()).clone().options([("temp_file_limit", "0")]);
    let full = PgPool::connect_with(options).await.unwrap();
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    let router = capital_courier::web::ops::router(full.clone().into(), Clock::system());
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(response.status(), 503);
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let parts: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let expected =
        serde_json::json!({"database": "full", "schema": "unknown", "clock": "not_compared"});
    assert_eq!(parts, serde_json::json!({"ready": false, "parts": expected}));
    // The check restores the connection's memory setting.
    let memory: String = sqlx::query_scalar("show work_mem").fetch_one(&full).await.unwrap();
    let usual: String = sqlx::query_scalar("show work_mem").fetch_one(&db).await.unwrap();
    assert_eq!(memory, usual);
    full.close().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_event_that_postgres_cannot_store_is_malformed(db: PgPool) {
    let app = TestApp::start(db).await;
    let event = app.created(&app.offer());
    let incompressible: String = (0..4_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect::<Vec<_>>()
        .concat();
    let edits: [(&str, serde_json::Value); 5] = [
        // Before 4713 BC, where the calendar of Postgres begins.
        ("/created", (-300_000_000_000_i64).into()),
        ("/data/object/id", incompressible.clone().into()),
        ("/data/object/account", incompressible.clone().into()),
        ("/type", incompressible.clone().into()),
        ("/api_version", incompressible.into()),
    ];
    for (number, (place, value)) in (1..).zip(edits) {
        let mut odd = event.clone();
        *odd.pointer_mut(place).unwrap() = value;
        for _ in 0..2 {
            app.stripe_sends(&odd).await.expect_refused(400, "malformed_event");
        }
        let malformed: i64 =
            app.one("select count(*) from malformed_bodies where reason <> $1", "").await;
        assert_eq!(malformed, number, "{place}");
    }
    assert_eq!(app.stored_events().await, 0);
    app.finish().await;
}
