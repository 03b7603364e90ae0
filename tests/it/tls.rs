//! The line to the relay: protected as the URL says, or no letter at all.

use std::collections::HashMap;
use std::time::Duration;

use capital_courier::simulator::{NewAccount, NewOffer, Simulator};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::aiosmtpd::{Aiosmtpd, Line};
use crate::support::process::{Process, command, post, world};

/// A merchant's offer, delivered by a process with these settings.
async fn deliver(stripe: &Simulator, env: &HashMap<String, String>) {
    let process = Process::serve(env).await;
    let merchant = NewAccount { email: Some("jenny@bakery.example".to_owned()), ..NewAccount::default() };
    let offer = stripe.create_offer(&stripe.add_account(&merchant), &NewOffer::default());
    let event = stripe.events().pop().unwrap();
    assert_eq!(post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&event).unwrap()).await, 200);
    let marked = async {
        while stripe.marked(&offer) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let marked = tokio::time::timeout(Duration::from_secs(20), marked).await;
    assert!(marked.is_ok(), "not delivered: {}", process.logged());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn letters_go_over_tls_from_the_first_byte_and_by_starttls(db: PgPool) {
    for (line, scheme, parameter) in [(Line::Tls, "smtps", ""), (Line::StartTls, "smtp", "?tls=required")] {
        let server = Aiosmtpd::start(line).await;
        let (stripe, _relay, mut env) = world(&db).await;
        env.insert("SMTP_URL".to_owned(), format!("{scheme}://localhost:{}{parameter}", server.port()));
        env.insert("SSL_CERT_FILE".to_owned(), server.certificate().display().to_string());
        deliver(&stripe, &env).await;
        assert_eq!(server.letters().len(), 1, "{line:?}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_relay_whose_certificate_nobody_vouches_for_or_for_another_name_gets_nothing(db: PgPool) {
    let server = Aiosmtpd::start(Line::Tls).await;
    let (_stripe, _relay, env) = world(&db).await;
    let trusted = server.certificate().display().to_string();
    for (host, trusted, wrong) in
        [("localhost", None, "UnknownIssuer"), ("127.0.0.1", Some(trusted), "not valid for name")]
    {
        let mut env = env.clone();
        env.insert("SMTP_URL".to_owned(), format!("smtps://{host}:{}", server.port()));
        env.extend(trusted.map(|file| ("SSL_CERT_FILE".to_owned(), file)));
        let found = command(&["doctor"], &env).output().await.unwrap();
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        assert_eq!(found.status.code(), Some(1), "{text}");
        let line = text.lines().find(|line| line.starts_with("WRONG") && line.contains("relay"));
        assert!(line.is_some_and(|line| line.contains(wrong)), "{text}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn where_tls_is_required_a_relay_without_it_gets_no_letter(db: PgPool) {
    let server = Aiosmtpd::start(Line::Plain).await;
    let url = format!("smtp://localhost:{}?tls=required", server.port());
    let app = TestApp::start_with(db, &[("SMTP_URL", &url)]).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&offer, "waiting", None).await;
    assert_eq!(app.stripe.marked(&offer), 0);
    assert!(server.letters().is_empty());
    app.abandon();
}
