//! Feedback from Amazon SES through SNS: signed messages, and a TLS server in place of Amazon.

use axum::body::Body;
use axum::http::Request;
use capital_courier::telemetry::metrics::Registry;
use capital_courier::web::api::Api;
use capital_courier::web::feedback::ses::{Amazon, Ses};
use capital_courier::web::feedback::{self, Inbound, ReportCounts};
use capital_courier::web::ops;
use http_body_util::BodyExt;
use serde_json::Value;
use sqlx::PgPool;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::feedback::reports::delivered;
use crate::support::TestApp;
use crate::support::https::Https;
use crate::support::scrape::Scrape;
use crate::web::api::Answer;

const HOST: &str = "sns.eu-west-1.amazonaws.com";
const CERTIFICATE: (&str, &[u8]) = (
    "/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
    include_bytes!("../../data/sns/certificate.pem"),
);
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:letters";

/// The message of this type whose text contains `part`, with a signature of version 2.
fn signed(kind: &str, part: &str) -> Value {
    let mut all: Vec<Value> =
        serde_json::from_str(include_str!("../../data/sns/signed.json")).unwrap();
    all.retain(|message| {
        message["SignatureVersion"] == "2"
            && message["Type"] == kind
            && message["Message"].as_str().unwrap().contains(part)
    });
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn endpoint(app: &TestApp, amazon: &Https, topic: &str) -> Inbound {
    endpoint_trusting(app, amazon, topic, CERTIFICATE.1)
}

/// Trusts `trusted` as a certificate authority.
fn endpoint_trusting(app: &TestApp, amazon: &Https, topic: &str, trusted: &[u8]) -> Inbound {
    let api = Api {
        db: app.db.clone().into(),
        clock: app.clock.clone(),
        read_timeout: std::time::Duration::from_secs(5),
    };
    let trusted = CertificateDer::from_pem_slice(trusted).unwrap();
    let amazon = Amazon::over(amazon.client.clone(), &[trusted]);
    let ses = Ses { topics: vec![topic.parse().unwrap()], amazon };
    Inbound { api, bcc: None, counts: ReportCounts::default(), ses: Some(ses), sendgrid: None }
}

async fn post(inbound: &Inbound, message: &Value) -> Answer {
    let request = Request::post("/inbound/ses")
        .header("Content-Type", "text/plain; charset=UTF-8")
        .body(Body::from(message.to_string()))
        .unwrap();
    let response =
        tower::ServiceExt::oneshot(feedback::router(inbound.clone()), request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Answer { status: head.status.as_u16(), headers: head.headers, body, bytes: bytes.to_vec() }
}

/// Sends the letter that the signed messages name and returns its offer.
async fn sent_letter(app: &TestApp) -> String {
    let offer = app.offer();
    delivered(app, &offer).await;
    sqlx::query("update letters set message_id = 'letter_sns@rocket.example'")
        .execute(&app.db)
        .await
        .unwrap();
    offer
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn ses_bounces_and_complaints_are_applied_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let amazon = Https::start(HOST).await;
    amazon.answers(CERTIFICATE.0, 200, CERTIFICATE.1);
    let inbound = endpoint(&app, &amazon, TOPIC);
    let offer = sent_letter(&app).await;
    for (part, outcomes) in
        [("Bounce", ["bounced", "duplicate"]), ("Complaint", ["opted_out", "duplicate"])]
    {
        for outcome in outcomes {
            let answer = post(&inbound, &signed("Notification", part)).await;
            assert_eq!(answer.expect(200)["outcome"], outcome);
        }
    }
    app.expect_letter(&offer, "bounced", Some("status 5.1.1")).await;
    let channels: Vec<String> = sqlx::query_scalar("select distinct channel from feedback_events")
        .fetch_all(&app.db)
        .await
        .unwrap();
    assert_eq!(channels, ["ses"]);
    assert_eq!(amazon.asked(), [CERTIFICATE.0], "the certificate is fetched once");
    let mut counted = Registry::with_prefix("courier");
    inbound.counts.register(&mut counted);
    let sources = ops::Sources { counted: counted.into(), ..app.app.metric_sources() };
    let scrape = Scrape::of(sources).await;
    scrape.expect("courier_reports_total{channel=\"ses\",outcome=\"duplicate\"}", 2.0);
    scrape.expect("courier_reports_total{channel=\"ses\",outcome=\"bounced\"}", 1.0);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn only_a_configured_topics_subscription_is_confirmed(db: PgPool) {
    let app = TestApp::start(db).await;
    let amazon = Https::start(HOST).await;
    amazon.answers(CERTIFICATE.0, 200, CERTIFICATE.1);
    let message = &signed("SubscriptionConfirmation", "subscribe");
    let path =
        message["SubscribeURL"].as_str().unwrap().strip_prefix(&format!("https://{HOST}")).unwrap();
    let inbound = endpoint(&app, &amazon, TOPIC);
    amazon.answers(path, 500, b"");
    post(&inbound, message).await.expect_refused(503, "unavailable");
    amazon.answers(path, 200, b"<ConfirmSubscriptionResponse/>");
    assert_eq!(post(&inbound, message).await.expect(200)["outcome"], "subscribed");
    assert_eq!(amazon.asked(), [CERTIFICATE.0, path, path]);
    let unsubscribed = signed("UnsubscribeConfirmation", "deactivate");
    assert_eq!(post(&inbound, &unsubscribed).await.expect(200)["outcome"], "ignored");
    let other = endpoint(&app, &amazon, "arn:aws:sns:eu-west-1:123456789012:others");
    post(&other, message).await.expect_refused(401, "bad_signature");
    assert_eq!(amazon.asked().len(), 3, "nothing is fetched for another topic");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_untrusted_signing_certificate_is_refused(db: PgPool) {
    let app = TestApp::start(db).await;
    let amazon = Https::start(HOST).await;
    let offer = sent_letter(&app).await;
    let message = signed("Notification", "Bounce");
    let pem = String::from_utf8(CERTIFICATE.1.to_vec()).unwrap();
    // The right certificate, at URLs and inside responses that others control.
    let inbound = endpoint(&app, &amazon, TOPIC);
    for path in ["/evil.pem", "/?Action=GetEndpointAttributes&EndpointArn=x"] {
        amazon.answers(path, 200, CERTIFICATE.1);
        let mut changed = message.clone();
        changed["SigningCertURL"] = format!("https://{HOST}{path}").into();
        post(&inbound, &changed).await.expect_refused(401, "bad_signature");
    }
    assert!(amazon.asked().is_empty(), "no other URL is fetched");
    let xml = format!("<Response><Value>{pem}</Value></Response>");
    amazon.answers(CERTIFICATE.0, 200, xml.as_bytes());
    post(&inbound, &message).await.expect_refused(401, "bad_signature");
    // At the right URL, but issued by an authority that is not trusted.
    amazon.answers(CERTIFICATE.0, 200, CERTIFICATE.1);
    let untrusted = rcgen::generate_simple_self_signed(["sns.amazonaws.com".to_owned()]).unwrap();
    let inbound = endpoint_trusting(&app, &amazon, TOPIC, untrusted.cert.pem().as_bytes());
    post(&inbound, &message).await.expect_refused(401, "bad_signature");
    // After the certificate has expired.
    let inbound = endpoint(&app, &amazon, TOPIC);
    app.clock.advance(chrono::TimeDelta::days(20 * 366));
    post(&inbound, &message).await.expect_refused(401, "bad_signature");
    app.expect_letter(&offer, "sent", None).await;
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn certificate_fetches_are_limited_and_shared(db: PgPool) {
    let app = TestApp::start(db).await;
    let amazon = Https::start(HOST).await;
    amazon.stalls();
    let inbound = endpoint(&app, &amazon, TOPIC);
    let message = signed("Notification", "Bounce");
    let posts = (0..40).map(|number| {
        let mut forged = message.clone();
        let name = format!("{:032x}", number / 2);
        forged["SigningCertURL"] =
            format!("https://{HOST}/SimpleNotificationService-{name}.pem").into();
        let inbound = inbound.clone();
        async move { post(&inbound, &forged).await.expect_refused(503, "unavailable") }
    });
    futures_util::future::join_all(posts).await;
    assert!(amazon.most_at_once() <= 4, "{} at once", amazon.most_at_once());
    assert!(amazon.asked().len() <= 20, "requests for one certificate share a fetch");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn unauthenticated_messages_are_refused_and_change_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let amazon = Https::start(HOST).await;
    let inbound = endpoint(&app, &amazon, TOPIC);
    let offer = sent_letter(&app).await;
    let message = signed("Notification", "Bounce");
    // Temporary errors ask for a repeat; a missing or malformed certificate does not.
    amazon.answers(CERTIFICATE.0, 503, b"");
    post(&inbound, &message).await.expect_refused(503, "unavailable");
    for proxy in [302, 407, 429] {
        amazon.answers(CERTIFICATE.0, proxy, b"<html>");
        post(&inbound, &message).await.expect_refused(503, "unavailable");
    }
    amazon.answers(CERTIFICATE.0, 404, b"");
    post(&inbound, &message).await.expect_refused(401, "bad_signature");
    amazon.answers(CERTIFICATE.0, 200, b"<html>");
    post(&inbound, &message).await.expect_refused(401, "bad_signature");
    amazon.answers(CERTIFICATE.0, 200, &vec![b'x'; 70_000]);
    post(&inbound, &message).await.expect_refused(401, "bad_signature");
    amazon.answers(CERTIFICATE.0, 200, CERTIFICATE.1);
    for (field, value) in [
        ("Message", message["Message"].as_str().unwrap().replace("5.1.1", "5.1.2")),
        ("SigningCertURL", "https://evil.example/certificate.pem".to_owned()),
        ("SigningCertURL", format!("http://{HOST}{}", CERTIFICATE.0)),
        ("SignatureVersion", "1".to_owned()),
        ("Signature", "AAAA".to_owned()),
        ("TopicArn", "arn:aws:sns:eu-west-1:123456789012:others".to_owned()),
    ] {
        let mut changed = message.clone();
        changed[field] = value.into();
        post(&inbound, &changed).await.expect_refused(401, "bad_signature");
    }
    post(&inbound, &serde_json::json!({"Type": "Notification"}))
        .await
        .expect_refused(401, "bad_signature");
    app.expect_letter(&offer, "sent", None).await;
    // Without a configured topic the endpoint does not exist.
    let request = Request::post("/inbound/ses").body(Body::from(message.to_string())).unwrap();
    assert_eq!(crate::web::api::send(&app, request).await.status, 404);
    app.abandon();
}
