//! A relay that breaks the protocol, or an attacker in its place: a letter counts as sent only if
//! the relay accepted it, and the length of every reply is limited.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use sqlx::PgPool;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};
use crate::support::wait::eventually;

/// Announces a new offer and returns it.
async fn announce_offer(app: &TestApp) -> String {
    let offer = app.offer();
    app.announce(&offer).await;
    offer
}

async fn last_error(app: &TestApp) -> String {
    app.one(
        "select coalesce(max(last_error), '') from jobs where kind = $1 and state = 'queued'",
        "send_letter",
    )
    .await
}

/// On each connection sends the first text, then one more after each line received.
struct Script {
    url: String,
    received: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn start(texts: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}?tls=required", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Vec<String>>>::default();
        let recorder = Arc::clone(&received);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                Self::play(stream, texts, &recorder).await;
            }
        });
        Self { url, received }
    }

    async fn play(stream: TcpStream, texts: &[&str], received: &Mutex<Vec<String>>) {
        let mut stream = BufReader::new(stream);
        for (number, text) in texts.iter().enumerate() {
            let mut line = String::new();
            if number > 0 && stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            received.lock().unwrap().extend((number > 0).then(|| line.trim_end().to_owned()));
            stream.get_mut().write_all(text.as_bytes()).await.unwrap();
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        received.lock().unwrap().push(format!("{} bytes more", rest.len()));
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn replies_injected_before_tls_end_the_session(db: PgPool) {
    let relay = Script::start(&[
        "220 relay.test ready\r\n",
        "250-relay.test\r\n250 STARTTLS\r\n",
        "220 go\r\n250-x\r\n250 8BITMIME\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n\
         250 2.0.0 queued as FAKE\r\n",
    ])
    .await;
    let app = TestApp::start_with(db, &[("SMTP_URL", &relay.url)]).await;
    let offer = announce_offer(&app).await;
    app.expect_letter(&offer, "waiting", None).await;
    app.expect_untouched(&offer).await;
    let error = last_error(&app).await;
    assert!(error.contains("before TLS") && error.contains("sent nothing"), "{error}");
    let attempt: i32 = app.one("select attempt from letters where offer_id = $1", &offer).await;
    assert_eq!(attempt, 0);
    let is_closed =
        || relay.received.lock().unwrap().iter().any(|line| line.ends_with("bytes more"));
    eventually(|| "the connection is open".to_owned(), async || is_closed()).await;
    let received = relay.received.lock().unwrap().clone();
    assert!(received[0].starts_with("EHLO "), "{received:?}");
    assert_eq!(received[1..], ["STARTTLS", "0 bytes more"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_login_is_sent_after_starttls_stripping(db: PgPool) {
    let app = TestApp::start(db).await;
    let url = app.relay.url().replace("smtp://", "smtp://me:hunter2@");
    let other = app.another_with(&[("SMTP_URL", &format!("{url}?tls=required"))]);
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    other.run_due_work().await.unwrap();
    app.expect_letter(&offer, "waiting", None).await;
    let error = last_error(&app).await;
    assert!(error.contains("does not offer STARTTLS"), "{error}");
    let commands = app.relay.commands();
    assert!(commands.len() == 1 && commands[0].starts_with("EHLO "), "{commands:?}");
    app.after(TimeDelta::seconds(3)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_message_is_sent_only_after_a_354_reply(db: PgPool) {
    let app = TestApp::start(db).await;
    let cases = [
        (Step::Connect, "250 hello"),
        (Step::Hello, "354 go"),
        (Step::Mail, "354 go"),
        (Step::Mail, "250 ok\r\n250 ok"),
        (Step::Rcpt(0), "334 VXNlcg=="),
        (Step::Rcpt(1), "250 ok\r\n354 go"),
        (Step::Data, "250 2.0.0 queued as FAKE"),
        (Step::Data, "220 go"),
        (Step::Data, "354 go\r\n250 2.0.0 queued as FAKE"),
    ];
    for (number, (step, answer)) in [cases, cases].concat().into_iter().enumerate() {
        if number == cases.len() {
            app.relay.without_pipelining();
        }
        app.relay.close_after_message_for(1);
        app.relay.fail(step, Trouble::Say(answer), 1);
        let offer = announce_offer(&app).await;
        app.expect_letter(&offer, "waiting", None).await;
        assert_eq!(app.stripe.delivered_marks(&offer), 0, "{step:?} {answer}");
        let error = last_error(&app).await;
        assert!(error.contains("broke the protocol"), "{step:?} {answer}: {error}");
        app.after(TimeDelta::seconds(3)).await;
        app.expect_delivered(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_invalid_final_reply_makes_the_letter_uncertain(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    for answer in ["354 go on", "334 VXNlcg==", "queued", "150 ok", "250-ok\r\nok"] {
        app.relay.fail(Step::Dot, Trouble::Say(answer), 1);
        let offer = announce_offer(&app).await;
        app.expect_letter(&offer, "held", Some("uncertain")).await;
        assert_eq!(app.stripe.delivered_marks(&offer), 0, "{answer}");
        // Keep the circuit closed: consecutive failures are not the subject.
        app.after(TimeDelta::minutes(1)).await;
        app.expect_delivered(&announce_offer(&app).await).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reply_with_mixed_codes_counts_as_a_rejection(db: PgPool) {
    let app = TestApp::start(db).await;
    for answer in ["250-2.0.0 ok\r\n554 5.7.1 no", "554-5.7.1 no\r\n250 2.0.0 ok"] {
        app.relay.fail(Step::Dot, Trouble::Say(answer), 1);
        let offer = announce_offer(&app).await;
        app.expect_letter(&offer, "rejected", Some("relay_refused")).await;
        app.expect_untouched(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_2xx_reply_counts_regardless_of_its_text(db: PgPool) {
    let app = TestApp::start(db).await;
    let long = [b"250 ".as_slice(), &[b'x'; 5_000], b"\r\n"].concat().leak();
    for bytes in [
        &b"250 2.0.0 Nachricht \xfcbernommen\r\n"[..],
        b"250 a\0b\x1b[2J\r\n",
        b"250-2.0.0 ok\n250 2.0.0 queued\n",
        b"250\r\n",
        long,
    ] {
        app.relay.fail(Step::Dot, Trouble::TakeAndSay(bytes), 1);
        let offer = announce_offer(&app).await;
        app.expect_delivered(&offer).await;
        let stored: String =
            app.one("select relay_reply from letters where offer_id = $1", &offer).await;
        assert!(
            stored.starts_with("250")
                && stored.len() <= 1_500
                && !stored.contains(char::is_control),
            "{stored}"
        );
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn endless_replies_are_cut_off(db: PgPool) {
    let app = TestApp::start(db).await;
    app.relay.close_after_message();
    for (step, text, expected) in [
        (Step::Connect, "x", "longer than 65536 bytes"),
        (Step::Connect, "220-x\r\n", "more than 128 lines"),
        (Step::Hello, "250-x\r\n", "more than 128 lines"),
        (Step::Rcpt(0), "250", "longer than 65536 bytes"),
        (Step::Dot, "250-x\n", "more than 128 lines"),
    ] {
        app.relay.fail(step, Trouble::Flood(text), 1);
        let offer = announce_offer(&app).await;
        // The relay would send forever; the bound must end it, not the time limit.
        let error = last_error(&app).await;
        assert!(error.contains(expected), "{step:?}: {error}");
        let reason = (step == Step::Dot).then_some("uncertain");
        app.expect_letter(&offer, "waiting", reason).await;
        assert_eq!(app.stripe.delivered_marks(&offer), 0);
        app.after(TimeDelta::seconds(3)).await;
        app.expect_letter(&offer, "sent", None).await;
    }
    app.finish().await;
}
