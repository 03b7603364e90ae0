//! The connection to the relay: encrypted as the URL demands, or no letter is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, Simulator};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::TestApp;
use crate::support::aiosmtpd::{Aiosmtpd, Line};
use crate::support::process::{Process, command, post, world};
use crate::support::wait::eventually;

/// Delivers an offer with a process that has these settings.
async fn deliver(stripe: &Simulator, env: &HashMap<String, String>) {
    let process = Process::serve(env).await;
    let merchant =
        NewAccount { email: Some("jenny@bakery.example".to_owned()), ..NewAccount::default() };
    let offer = stripe.create_offer(&stripe.add_account(&merchant), &NewOffer::default());
    let event = stripe.events().pop().unwrap();
    assert_eq!(
        post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&event).unwrap()).await,
        200
    );
    eventually(|| process.logged(), async || stripe.delivered_marks(&offer) == 1).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn letters_are_sent_over_implicit_tls_and_starttls(db: PgPool) {
    for (line, scheme, parameter) in
        [(Line::Tls, "smtps", ""), (Line::StartTls, "smtp", "?tls=required")]
    {
        let server = Aiosmtpd::start(line).await;
        let (stripe, _relay, mut env) = world(&db).await;
        env.insert(
            "SMTP_URL".to_owned(),
            format!("{scheme}://localhost:{}{parameter}", server.port()),
        );
        env.insert("SSL_CERT_FILE".to_owned(), server.certificate().display().to_string());
        deliver(&stripe, &env).await;
        assert_eq!(server.letters().len(), 1, "{line:?}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn untrusted_and_mismatched_certificates_are_rejected(db: PgPool) {
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
async fn without_required_tls_no_letter_is_sent(db: PgPool) {
    let server = Aiosmtpd::start(Line::Plain).await;
    let url = format!("smtp://localhost:{}?tls=required", server.port());
    let app = TestApp::start_with(db, &[("SMTP_URL", &url)]).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&offer, "waiting", None).await;
    assert_eq!(app.stripe.delivered_marks(&offer), 0);
    assert!(server.letters().is_empty());
    app.abandon();
}

/// Sends one text after each line from the client, and returns the client's lines.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    texts: &[&str],
) -> Vec<String> {
    let mut received = Vec::new();
    for text in texts {
        let mut line = String::new();
        // A connection closed without `close_notify` is closed all the same.
        let _ = stream.read_line(&mut line).await;
        received.push(line.trim_end().to_owned());
        let _ = stream.get_mut().write_all(text.as_bytes()).await;
    }
    received
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn capabilities_announced_before_tls_are_forgotten(db: PgPool) {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let certificate = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(certificate.path(), made.cert.pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::<Mutex<Vec<String>>>::default();
    let recorder = Arc::clone(&received);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 relay.test ready\r\n").await.unwrap();
        let mut stream = BufReader::new(stream);
        let hello = "250-relay.test\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n";
        answer(&mut stream, &[hello, "220 go\r\n"]).await;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut stream = BufReader::new(acceptor.accept(stream.into_inner()).await.unwrap());
        let commands = answer(&mut stream, &["250 relay.test\r\n", ""]).await;
        recorder.lock().unwrap().extend(commands);
    });
    let (_stripe, _relay, mut env) = world(&db).await;
    env.insert("SMTP_URL".to_owned(), format!("smtp://me:hunter2@localhost:{port}?tls=required"));
    env.insert("SSL_CERT_FILE".to_owned(), certificate.path().display().to_string());
    let found = command(&["doctor"], &env).output().await.unwrap();
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(text.contains("offers neither AUTH PLAIN nor AUTH LOGIN"), "{text}");
    let is_closed = || !received.lock().unwrap().is_empty();
    eventually(|| "the connection is closed".to_owned(), async || is_closed()).await;
    let received = received.lock().unwrap().clone();
    assert!(received[0].starts_with("EHLO ") && received[1].is_empty(), "{received:?}");
}
