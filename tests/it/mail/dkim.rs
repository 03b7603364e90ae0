//! DKIM signatures as receivers verify them.

use capital_courier::clock::Clock;
use chrono::TimeDelta;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::aiosmtpd::{Aiosmtpd, Line};
use crate::support::dkim::{SELECTOR, ed25519_key, rsa_key, verify};
use crate::support::smtp::{Received, Step, Trouble};

async fn start(db: PgPool, key: &str, others: &[(&str, &str)]) -> TestApp {
    let mut settings = vec![
        ("COURIER_EMAIL__DKIM_KEY", key),
        ("COURIER_EMAIL__DKIM_SELECTOR", SELECTOR),
        // A line with a leading dot is transmitted with two (RFC 5321 section 4.5.2) but signed
        // with one.
        ("COURIER_EMAIL__POSTAL_ADDRESS", ".1 Main Street, Springfield"),
    ];
    settings.extend(others);
    TestApp::start_with(db, &settings).await
}

async fn letter_to(app: &TestApp, country: &str) -> Received {
    let offer = app.offer();
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    app.stripe.edit_account(&account, |account| account["country"] = country.into());
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offer).await
}

async fn expect_valid_in_each_language(db: PgPool, key: &str) {
    let app = start(db, key, &[]).await;
    for (country, in_subject) in
        [("US", "prequalified"), ("DE", "Finanzierung"), ("FR", "préqualifié")]
    {
        let letter = letter_to(&app, country).await;
        assert!(letter.message().subject().unwrap().contains(in_subject));
        assert!(
            letter.bytes.windows(4).any(|bytes| bytes == b"\n.1 "),
            "no line begins with a dot"
        );
        assert_eq!(verify(&letter.bytes, key).await, Ok(()), "{country}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_rsa_key_signs_letters_in_each_language(db: PgPool) {
    Box::pin(expect_valid_in_each_language(db, &rsa_key())).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_ed25519_key_signs_letters_in_each_language(db: PgPool) {
    Box::pin(expect_valid_in_each_language(db, &ed25519_key())).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_without_unsubscribe_link_is_signed(db: PgPool) {
    let key = ed25519_key();
    let app = start(db, &key, &[("COURIER_HTTP__PUBLIC_URL", "")]).await;
    let letter = letter_to(&app, "US").await;
    assert_eq!(letter.header("List-Unsubscribe-Post"), "");
    assert_eq!(verify(&letter.bytes, &key).await, Ok(()));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn changing_signed_content_breaks_the_signature(db: PgPool) {
    let key = ed25519_key();
    let app = start(db, &key, &[]).await;
    let letter = String::from_utf8(letter_to(&app, "US").await.bytes).unwrap();
    let signature = letter.split("DKIM-Signature:").nth(1).unwrap();
    for wanted in ["c=relaxed/relaxed", "d=rocket.example", "s=courier1", "a=ed25519-sha256"] {
        assert!(signature.contains(wanted), "no {wanted} in {signature}");
    }
    for name in [
        "From",
        "To",
        "Subject",
        "Date",
        "Reply-To",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "Auto-Submitted",
        "Feedback-ID",
    ] {
        let changed = letter.replacen(&format!("\r\n{name}: "), &format!("\r\n{name}: x"), 1);
        let changed =
            if changed == letter { letter.replacen("From: ", "From: x", 1) } else { changed };
        assert!(verify(changed.as_bytes(), &key).await.is_err(), "{name} can be changed");
    }
    for second in ["From: evil@rocket.example", "Subject: You won", "To: all@evil.example"] {
        assert!(
            verify(format!("{second}\r\n{letter}").as_bytes(), &key).await.is_err(),
            "{second}"
        );
    }
    let other_terms = letter.replace("$1,000", "$9,000");
    assert!(other_terms != letter && verify(other_terms.as_bytes(), &key).await.is_err());
    assert!(verify(letter.as_bytes(), &ed25519_key()).await.is_err(), "by another key");
    // Added headers and refolding by servers on the path do no harm.
    let on_the_way =
        format!("Received: from a by b; {}\r\n{letter}", Clock::system().now().to_rfc2822());
    let refolded = on_the_way.replacen("Auto-Submitted: ", "Auto-Submitted:\r\n\t", 1);
    assert!(refolded != on_the_way);
    assert_eq!(verify(refolded.as_bytes(), &key).await, Ok(()));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_resent_letter_differs_only_in_date_and_signature(db: PgPool) {
    let key = rsa_key();
    let app = start(db, &key, &[]).await;
    app.relay.fail(Step::Dot, Trouble::TakeAndDrop, 1);
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.after(TimeDelta::seconds(3)).await;
    let letters = app.relay.letters();
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        assert_eq!(verify(&letter.bytes, &key).await, Ok(()));
    }
    let same = |letter: &Received| {
        let text = String::from_utf8(letter.bytes.clone()).unwrap();
        // The signature is folded: continuation lines start with a space.
        let (before, signature) = text.split_once("DKIM-Signature:").unwrap();
        let end =
            signature.match_indices("\r\n").find(|(at, _)| !signature[at + 2..].starts_with(' '));
        let after = &signature[end.unwrap().0..];
        let lines = before.split("\r\n").filter(|line| !line.starts_with("Date: "));
        (lines.collect::<Vec<_>>().join("\r\n"), after.to_owned())
    };
    assert_ne!(letters[0].header("Date"), letters[1].header("Date"));
    assert_eq!(same(&letters[0]), same(&letters[1]));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_a_key_nothing_is_signed(db: PgPool) {
    let app = TestApp::start(db).await;
    assert_eq!(letter_to(&app, "US").await.header("DKIM-Signature"), "");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_real_mail_server_receives_a_valid_signature(db: PgPool) {
    let server = Aiosmtpd::start(Line::Plain).await;
    let (key, url) = (rsa_key(), format!("smtp://127.0.0.1:{}", server.port()));
    let app = start(db, &key, &[("SMTP_URL", &url)]).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&offer, "sent", None).await;
    // aiosmtpd stores letters with the system's line ends.
    let stored = String::from_utf8(server.letters().remove(0))
        .unwrap()
        .replace("\r\n", "\n")
        .replace('\n', "\r\n");
    assert_eq!(verify(stored.as_bytes(), &key).await, Ok(()));
    app.abandon();
}
