//! The webhooks of SendGrid and Postmark, through the whole service.

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capital_courier::web::api::Scope;
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::feedback::reports::delivered;
use crate::support::TestApp;
use crate::web::api::{Answer, key, send};

/// A key pair, and its public key as SendGrid displays it.
fn key_pair() -> (EcdsaKeyPair, String) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let head = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=").unwrap();
    let shown = STANDARD.encode([&head[..], pair.public_key().as_ref()].concat());
    (pair, shown)
}

async fn from_sendgrid(
    app: &TestApp,
    pair: &EcdsaKeyPair,
    at: DateTime<Utc>,
    events: &Value,
) -> Answer {
    let (timestamp, body) = (at.timestamp().to_string(), events.to_string());
    let signed = [timestamp.as_bytes(), body.as_bytes()].concat();
    let signature = STANDARD.encode(pair.sign(&SystemRandom::new(), &signed).unwrap());
    let request = Request::post("/inbound/sendgrid")
        .header("X-Twilio-Email-Event-Webhook-Signature", signature)
        .header("X-Twilio-Email-Event-Webhook-Timestamp", timestamp)
        .body(Body::from(body))
        .unwrap();
    send(app, request).await
}

fn letter_id(message_id: &str) -> &str {
    message_id.split('@').next().unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn signed_sendgrid_events_are_each_applied_once(db: PgPool) {
    let (pair, shown) = key_pair();
    let app = TestApp::start_with(db, &[("COURIER_INBOUND__SENDGRID_PUBLIC_KEY", &shown)]).await;
    let (bounced, complained) = (app.offer(), app.offer_to(Some("owner@rocket.example")));
    let (first, second) = (delivered(&app, &bounced).await, delivered(&app, &complained).await);
    let events = json!([
        {"event": "processed", "email": "jenny@bakery.example", "sg_event_id": "e0",
         "smtp-id": format!("<{first}>")},
        {"event": "bounce", "type": "bounce", "status": "5.1.1", "email": "jenny@bakery.example",
         "sg_event_id": "e1", "smtp-id": format!("<{first}>"), "reason": "550 5.1.1 unknown"},
        {"event": "spamreport", "email": "owner@rocket.example", "sg_event_id": "e2",
         "letter_id": letter_id(&second)},
        {"event": "unsubscribe", "email": "mo@other.example", "sg_event_id": "e3"},
    ]);
    let now = app.clock.now();
    let outcomes = from_sendgrid(&app, &pair, now, &events).await.expect(200)["outcomes"].clone();
    assert_eq!(outcomes, json!({"bounced": 1, "ignored": 1, "no_such_letter": 1, "opted_out": 1}));
    let outcomes = from_sendgrid(&app, &pair, now, &events).await.expect(200)["outcomes"].clone();
    assert_eq!(outcomes, json!({"ignored": 1, "duplicate": 2, "no_such_letter": 1}));
    app.expect_letter(&bounced, "bounced", Some("status 5.1.1")).await;
    app.expect_letter(&complained, "sent", None).await;
    let sources: Vec<String> =
        sqlx::query_scalar("select source from opt_outs").fetch_all(&app.db).await.unwrap();
    assert_eq!(sources, ["complaint"]);
    // Entries that Postgres would reject affect none of the others.
    let third = app.offer_to(Some("mo@garage.example"));
    let (third, id) = (third.clone(), delivered(&app, &third).await);
    let events = json!([
        {"event": "bounce", "type": "bounce", "email": "x@y.example", "sg_event_id": "e4",
         "smtp-id": "<a\u{0}b@x>"},
        {"event": "bounce", "type": "bounce", "email": "x@y.example", "sg_event_id": "e5",
         "letter_id": "letter_\u{0}"},
        {"event": "bounce", "type": "bounce", "email": "mo@garage.example", "sg_event_id": "e6",
         "smtp-id": format!("<{id}>")},
    ]);
    let outcomes = from_sendgrid(&app, &pair, now, &events).await.expect(200)["outcomes"].clone();
    assert_eq!(outcomes, json!({"bounced": 1, "no_such_letter": 2}));
    app.expect_letter(&third, "bounced", Some("status 5.0.0")).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn unsigned_and_old_sendgrid_requests_are_refused(db: PgPool) {
    let (pair, shown) = key_pair();
    let app = TestApp::start_with(db, &[("COURIER_INBOUND__SENDGRID_PUBLIC_KEY", &shown)]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    let events = json!([{
        "event": "bounce", "type": "bounce", "email": "jenny@bakery.example", "sg_event_id": "e1",
        "smtp-id": format!("<{id}>"),
    }]);
    let now = app.clock.now();
    from_sendgrid(&app, &key_pair().0, now, &events).await.expect_refused(401, "bad_signature");
    from_sendgrid(&app, &pair, now - TimeDelta::hours(26), &events)
        .await
        .expect_refused(401, "bad_signature");
    let bare = Request::post("/inbound/sendgrid").body(Body::from(events.to_string())).unwrap();
    send(&app, bare).await.expect_refused(401, "bad_signature");
    app.expect_letter(&offer, "sent", None).await;
    // Authentic, but not understood.
    for unknown in [json!({"not": "a list"}), json!(["x"]), json!([])] {
        from_sendgrid(&app, &pair, now, &unknown).await.expect(200);
    }
    sqlx::query("alter table feedback_events rename to elsewhere").execute(&app.db).await.unwrap();
    from_sendgrid(&app, &pair, now, &events).await.expect_refused(503, "unavailable");
    app.abandon();
}

async fn from_postmark(app: &TestApp, key: &str, record: &Value) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("postmark:{key}")));
    let request = Request::post("/inbound/postmark")
        .header("Authorization", basic)
        .header("Content-Type", "application/json")
        .body(Body::from(record.to_string()))
        .unwrap();
    send(app, request).await
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn postmark_records_with_a_key_are_applied_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    let bounce = |number: u32, kind: &str| {
        json!({
            "RecordType": "Bounce", "ID": number, "Type": kind,
            "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
            "Details": "smtp;550 5.1.1 unknown", "Email": "jenny@bakery.example",
            "Metadata": {"letter-id": letter_id(&id)}
        })
    };
    let change = |suppress: bool| {
        json!({
            "RecordType": "SubscriptionChange",
            "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "Origin": "Recipient",
            "ChangedAt": "2026-11-24T12:00:00Z", "Recipient": "jenny@bakery.example",
            "SuppressSending": suppress, "SuppressionReason": "ManualSuppression",
            "Metadata": {"letter-id": letter_id(&id)}
        })
    };
    from_postmark(&app, "courier_x", &bounce(1, "HardBounce")).await.expect_refused(401, "bad_key");
    for (record, expected) in [
        (bounce(1, "SoftBounce"), "transient"),
        (bounce(2, "HardBounce"), "bounced"),
        (bounce(2, "HardBounce"), "duplicate"),
        (change(false), "ignored"),
        (change(true), "opted_out"),
        (json!({"RecordType": "Open"}), "ignored"),
        (json!([]), "ignored"),
        (
            json!({
                "RecordType": "SpamComplaint", "ID": 3, "Email": "x@y.example",
                "Metadata": {"letter-id": "a\u{0}"},
            }),
            "no_such_letter",
        ),
    ] {
        let response = from_postmark(&app, &key, &record).await.expect(200);
        assert_eq!(response["outcome"], expected, "{record}");
    }
    app.expect_letter(&offer, "bounced", Some("status 5.1.1")).await;
    let source: String = app
        .one(
            "select source from opt_outs where ended_at is null and scope = $1",
            "capital_marketing",
        )
        .await;
    assert_eq!(source, "sender");
    app.finish().await;
}
