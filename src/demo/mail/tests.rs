//! The server against the service's own SMTP client, and the mailbox's pages.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use lettre::address::Envelope;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::folder::MailFolder;
use super::{Sink, router};
use crate::clock::Clock;
use crate::feedback::{FeedbackEvent, FeedbackReport};
use crate::mail::{Relay, RelaySettings, SendError, Timeouts};
use crate::queue::Circuit;

const LETTER: &str = "letter_0193a1b2c3d47e5f8091a2b3c4d5e6f7";
const MERCHANT: &str = "jenny@bakery.example";
const STRIPE: &str = "capital-offers@stripe.example";

/// A letter as `mail::mime` assembles it, shortened.
fn letter(html: &str) -> String {
    format!(
        "From: Rocket Capital <capital@rocket.example>\r\n\
         To: {MERCHANT}\r\n\
         Subject: =?utf-8?q?Up_to_=E2=82=AC5=2C000?=\r\n\
         Message-ID: <{LETTER}@rocket.example>\r\n\
         Date: Sun, 29 Nov 2026 18:31:00 +0000\r\n\
         Feedback-ID: offer:en:capital-offer:rocket.example\r\n\
         X-PM-Metadata-letter-id: {LETTER}\r\n\
         Content-Type: multipart/alternative; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         .a line that begins with a dot\r\n.\r\nHello Jenny\r\n\
         --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
         {html}\r\n--b--\r\n"
    )
}

struct Mail {
    sink: Sink,
    relay: Relay,
    dir: TempDir,
}

impl Mail {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start(dir.path().join("mail")).unwrap();
        let timeouts =
            Timeouts { command: Duration::from_secs(10), answer: Duration::from_secs(10) };
        let settings = RelaySettings { url: sink.url().parse().unwrap(), timeouts };
        let relay = Relay::new(&settings, Circuit::new("relay", Clock::system()));
        Self { sink, relay, dir }
    }

    async fn send(&self, message: &str) -> Result<String, SendError> {
        self.send_to(&[MERCHANT, STRIPE], message).await
    }

    async fn send_to(&self, to: &[&str], message: &str) -> Result<String, SendError> {
        let from = "bounces+0193a1b2c3d47e5f8091a2b3c4d5e6f7@rocket.example".parse().unwrap();
        let to = to.iter().map(|address| address.parse().unwrap()).collect();
        let envelope = Envelope::new(Some(from), to).unwrap();
        self.relay.open(&envelope, "unused").await?.hand_over(message.as_bytes()).await
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("mail")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn pages(&self) -> Pages {
        Pages(router(self.sink.folder().clone(), Vec::new()).unwrap())
    }
}

struct Pages(Router);

struct Reply {
    status: u16,
    policy: String,
    text: String,
}

impl Pages {
    async fn open(&self, path: &str) -> Reply {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.0.clone().oneshot(request).await.unwrap();
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Reply { status, policy, text: String::from_utf8(body.to_vec()).unwrap() }
    }
}

#[tokio::test]
async fn a_message_is_on_disk_to_the_byte_before_its_250() {
    let mail = Mail::start();
    let mut received = mail.sink.subscribe();
    let message = letter("<p>Hello</p>");
    let reply = mail.send(&message).await.unwrap();
    assert_eq!(reply, format!("250 2.0.0 stored as {LETTER}-1"));
    // The letter and its blind copy are one file.
    assert_eq!(mail.files(), [format!("{LETTER}-1.eml")]);
    let stored = mail.sink.folder().find(&format!("{LETTER}-1")).unwrap().unwrap();
    assert_eq!(String::from_utf8(stored.bytes).unwrap(), message);
    let summary = received.try_recv().unwrap();
    assert_eq!(summary, stored.summary);
    assert_eq!(
        (summary.recipient.as_str(), &summary.copies[..]),
        (MERCHANT, &[STRIPE.to_owned()][..])
    );
    assert_eq!(
        (summary.subject.as_str(), summary.kind.as_deref()),
        ("Up to €5,000", Some("offer"))
    );
    assert_eq!(summary.sent_at.unwrap().to_rfc3339(), "2026-11-29T18:31:00+00:00");
    // The same letter again, over the same connection.
    mail.send(&message).await.unwrap();
    mail.send_to(&[MERCHANT], "Subject: no letter\r\n\r\n").await.unwrap();
    let files = mail.files();
    assert_eq!(files.len(), 3, "{files:?}");
    assert_eq!(files[1], format!("{LETTER}-2.eml"));
    assert!(files[2].starts_with("message_"), "{files:?}");
}

#[tokio::test]
async fn a_server_that_is_down_accepts_nothing_until_it_is_up() {
    let mail = Mail::start();
    // Leaves a pooled connection, which must not outlive the fault.
    mail.send(&letter("")).await.unwrap();
    mail.sink.set_down(true);
    assert!(mail.sink.is_down());
    for _ in 0..2 {
        let error = mail.send(&letter("")).await.unwrap_err();
        assert!(matches!(error, SendError::Unreachable(_)), "{error}");
    }
    mail.sink.set_down(false);
    mail.send(&letter("")).await.unwrap();
    assert_eq!(mail.files().len(), 2);
}

#[tokio::test]
async fn a_message_that_is_being_transmitted_is_still_accepted() {
    let mail = Mail::start();
    let from = "capital@rocket.example".parse().unwrap();
    let envelope = Envelope::new(Some(from), vec![MERCHANT.parse().unwrap()]).unwrap();
    let data_phase = mail.relay.open(&envelope, "unused").await.unwrap();
    mail.sink.set_down(true);
    data_phase.hand_over(letter("").as_bytes()).await.unwrap();
    assert_eq!(mail.files().len(), 1);
}

#[tokio::test]
async fn addresses_are_refused_or_their_mail_is_returned() {
    let mail = Mail::start();
    mail.sink.set_bouncing(true);
    let error = mail.send(&letter("")).await.unwrap_err();
    assert!(matches!(error, SendError::AddressRefused(_)), "{error}");
    mail.sink.set_bouncing(false);

    let mut bounces = mail.sink.bounces();
    mail.sink.bounce_later("Jenny@Bakery.example");
    mail.send(&letter("")).await.unwrap();
    let report = FeedbackReport::parse(&bounces.try_recv().unwrap()).unwrap();
    let mut expected = crate::feedback::LetterRef::default();
    expected.add_letter(LETTER);
    expected.add_message_id(&format!("{LETTER}@rocket.example"));
    assert_eq!(report.letter_ref, expected);
    assert_eq!(report.recipients.len(), 1);
    assert_eq!(report.recipients[0].addresses, [MERCHANT]);
    assert_eq!(report.recipients[0].event, FeedbackEvent::failed(Some("5.1.1"), None));

    mail.send_to(&["other@bakery.example"], &letter("")).await.unwrap();
    assert!(bounces.try_recv().is_err());
}

/// Sends bytes as one packet and returns all replies until the server closes the connection.
async fn talk(sink: &Sink, bytes: &[u8]) -> Vec<String> {
    let address = sink.url().strip_prefix("smtp://").unwrap().to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).await.unwrap();
    replies.lines().map(|line| line.chars().take(9).collect()).collect()
}

#[tokio::test]
async fn commands_may_be_pipelined_and_wrong_ones_are_refused_in_order() {
    let mail = Mail::start();
    let replies = talk(
        &mail.sink,
        b"HELO x\r\nRCPT TO:<a@x.example>\r\nDATA\r\nFROM\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\n\
          RCPT TO:nobody\r\nDATA\r\nMAIL FROM:<a\x07@x> \r\nMAIL FROM:<> SIZE=99999999\r\n\
          MAIL FROM:<a@x.example> BODY=8BITMIME\r\nRCPT TO:<a@x.example>\r\nRSET\r\nSTARTTLS\r\n\
          MAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n",
    )
    .await;
    assert_eq!(
        replies,
        [
            "220 demo.",
            "250 demo.",
            "503 5.5.1",
            "503 5.5.1",
            "500 5.5.1",
            "250 2.1.0",
            "503 5.5.1",
            "501 5.5.4",
            "503 5.5.1",
            "501 5.1.7",
            "552 5.3.4",
            "250 2.1.0",
            "250 2.1.5",
            "250 2.0.0",
            "502 5.5.1",
            "250 2.1.0",
            "250 2.1.5",
            "354 end w",
            "250 2.0.0",
            "250 2.0.0",
            "221 2.0.0",
        ]
    );
    assert_eq!(mail.files().len(), 1);
}

#[tokio::test]
async fn lines_and_messages_are_bounded() {
    let mail = Mail::start();
    let endless = talk(&mail.sink, &vec![b'x'; 40_000]).await;
    assert_eq!(endless, ["220 demo.", "500 5.5.6"]);
    let start = b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\nDATA\r\n";
    let large = [&start[..], &vec![b'x'; super::session::MAX_MESSAGE + 1]].concat();
    let replies = talk(&mail.sink, &large).await;
    assert_eq!(replies.last().unwrap(), "552 5.3.4");
    assert!(mail.files().is_empty());
}

#[tokio::test]
async fn the_list_is_searched_and_filtered() {
    let mail = Mail::start();
    let pages = mail.pages();
    let empty = pages.open("/mailbox").await;
    assert!(empty.text.contains("No mail yet"), "{}", empty.text);
    mail.send(&letter("<p>Hello</p>")).await.unwrap();
    let other = "To: owner@rocket.example\r\nSubject: <b>Other</b>\r\n\r\nplain";
    mail.send_to(&["owner@rocket.example"], other).await.unwrap();
    let first_words = |page: &Reply| {
        let found = page.text.matches("<li>").count();
        assert_eq!(page.status, 200);
        found
    };
    for (query, found) in [
        ("", 2),
        ("?q=", 2),
        ("?q=hello+JENNY", 1),
        ("?q=%E2%82%AC5%2C000", 1),
        ("?q=owner%40rocket", 1),
        ("?q=hello+plain", 0),
        ("?to=jenny@bakery.example", 1),
        ("?to=jenny", 0),
        ("?to=jenny@bakery.example&q=other", 0),
    ] {
        for path in ["/mailbox", "/mailbox/list"] {
            assert_eq!(first_words(&pages.open(&format!("{path}{query}")).await), found, "{query}");
        }
    }
    let list = pages.open("/mailbox?q=%3Cscript%3E").await;
    assert!(!list.text.contains("<script>"), "{}", list.text);
    let all = pages.open("/mailbox").await;
    assert!(
        all.text.contains("&lt;b&gt;Other") && all.text.contains("copy to Stripe"),
        "{}",
        all.text
    );
    // Files of an earlier run, and those that the relay `file:` wrote.
    let written = mail.dir.path().join("mail/letter_1-1.eml");
    std::fs::write(written, "To: kite@x.example\r\nSubject: earlier\r\n\r\nx").unwrap();
    let reopened = MailFolder::open(mail.dir.path().join("mail"));
    let pages = Pages(router(reopened, Vec::new()).unwrap());
    let found = pages.open("/mailbox?q=earlier").await;
    assert!(found.text.contains("kite@x.example"), "{}", found.text);
}

#[tokio::test]
async fn a_message_with_an_overlong_letter_id_is_listed_under_a_name_of_its_own() {
    let mail = Mail::start();
    let long = format!("letter_{}", "x".repeat(92));
    mail.send(&letter("<p>Hello</p>").replace(LETTER, &long)).await.unwrap();
    let list = mail.pages().open("/mailbox/list").await;
    assert!(list.text.contains("/mailbox/message_"), "{}", list.text);
}

#[tokio::test]
async fn a_message_is_shown_in_every_view() {
    let mail = Mail::start();
    let html = "<style>@media (prefers-color-scheme: dark) {}</style><p>Hello</p></iframe>\
        <script>alert(1)</script>";
    mail.send(&letter(html)).await.unwrap();
    let pages = mail.pages();
    let page = format!("/mailbox/{LETTER}-1");
    for (query, shown) in [
        ("", "<iframe sandbox=\"allow-popups allow-popups-to-escape-sandbox\""),
        ("?view=odd", "<iframe sandbox"),
        ("?view=text", "Hello Jenny"),
        ("?view=headers", "<dt>Feedback-ID</dt>"),
        ("?view=raw", "=?utf-8?q?Up_to_"),
        ("?width=phone", "email-stage phone light"),
        ("?scheme=dark&q=jenny", "html?q=jenny&amp;scheme=dark"),
        ("", &format!("href=\"/console/emails/{LETTER}\"")),
    ] {
        let reply = pages.open(&format!("{page}{query}")).await;
        assert_eq!(reply.status, 200, "{query}");
        assert!(reply.text.contains(shown), "{query}: {}", reply.text);
        assert!(!reply.text.contains("<script>alert"), "{query}: {}", reply.text);
        assert!(reply.policy.contains("script-src 'self'"), "{query}: {}", reply.policy);
    }
    let frame = pages.open(&format!("{page}/html?scheme=dark&images=off")).await;
    assert!(frame.text.contains("@media (min-width:0)"), "{}", frame.text);
    assert!(
        frame.policy.contains("img-src 'none'") && frame.policy.contains("sandbox allow-popups")
    );
    assert!(!frame.policy.contains("script"), "{}", frame.policy);
    let download = pages.open(&format!("{page}/message.eml")).await;
    assert_eq!(download.text, letter(html));
}

#[tokio::test]
async fn an_id_is_no_path() {
    let mail = Mail::start();
    std::fs::write(mail.dir.path().join("secret.eml"), "Subject: secret\r\n\r\n").unwrap();
    mail.send(&letter("")).await.unwrap();
    let pages = mail.pages();
    for id in
        ["..%2Fsecret", "%2e%2e%2fsecret", "%2Fetc%2Fpasswd", "none", "a%00b", ".hidden", "%C3%BC"]
    {
        for rest in ["", "/html", "/message.eml"] {
            let reply = pages.open(&format!("/mailbox/{id}{rest}")).await;
            assert_eq!(reply.status, 404, "{id}{rest}");
            assert!(!reply.text.contains("secret"), "{id}");
        }
    }
}
