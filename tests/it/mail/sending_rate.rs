//! Headers that suppress automatic replies, and the limits that protect the relay, receiving
//! domains and a new sender's reputation.

use capital_courier::app::App;
use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer};

use crate::support::TestApp;
use crate::support::process::{Process, post, world};
use crate::support::smtp::{Step, Trouble};

const WARM_UP: [(&str, &str); 2] =
    [("COURIER_EMAIL__WARM_UP_FROM", "2026-11-24"), ("COURIER_EMAIL__WARM_UP_FIRST_DAY", "2")];

/// Announces offers and reads the inbox, without sending.
async fn announce(app: &TestApp, offers: usize) -> Vec<String> {
    let offers: Vec<String> = (0..offers).map(|_| app.offer()).collect();
    for offer in &offers {
        app.stripe_sends(&app.created(offer)).await.expect_kept();
    }
    app.app.read_inbox().await.unwrap();
    offers
}

/// Runs all due work in two processes and returns the number of sent letters.
async fn sent(app: &TestApp, other: &App) -> usize {
    app.run_due_work().await;
    other.run_due_work().await.unwrap();
    app.relay.letters().len()
}

/// Asserts that no queued letter has used an attempt.
async fn expect_untried(app: &TestApp) {
    assert_eq!(app.tried_letters().await, 0);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn headers_are_stable_and_reveal_nothing_about_the_merchant(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = announce(&app, 1).await.remove(0);
    app.run_due_work().await;
    let letter = app.expect_delivered(&offer).await;
    assert_eq!(letter.header("Precedence"), "bulk");
    assert_eq!(letter.header("X-Auto-Response-Suppress"), "OOF, AutoReply");
    assert_eq!(letter.header("Feedback-ID"), "offer:en:capital-offer:rocket.example");
    let text = String::from_utf8(letter.bytes.clone()).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap();
    let names = head
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap());
    insta::assert_debug_snapshot!(names.collect::<Vec<_>>());
    for line in head.lines() {
        // RFC 5322 section 2.1.1: at most 78 characters if the line can be folded; an address
        // cannot.
        let words =
            line.strip_prefix(' ').or_else(|| line.split_once(": ").map(|(_, value)| value));
        let can_be_folded = words.is_some_and(|words| words.trim().contains(' '));
        assert!(line.len() <= if can_be_folded { 78 } else { 998 }, "{} bytes: {line}", line.len());
    }
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    let private = ["Jenny", "Bakery", &account, &offer];
    let reveals = |line: &&str| {
        !line.starts_with("To: ") && private.iter().any(|private| line.contains(private))
    };
    // The unsubscribe link contains the account, signed.
    let revealing: Vec<&str> =
        head.lines().filter(reveals).filter(|line| !line.contains("/unsubscribe/")).collect();
    assert!(revealing.is_empty(), "{revealing:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn processes_share_the_limit_per_minute(db: PgPool) {
    let limit = [("COURIER_EMAIL__MAX_PER_MINUTE", "30")];
    let app = TestApp::start_with(db, &limit).await;
    let other = app.another_with(&limit);
    announce(&app, 6).await;
    for letters in 1..=6 {
        assert_eq!(sent(&app, &other).await, letters);
        assert_eq!(sent(&app, &other).await, letters, "not twice in two seconds");
        expect_untried(&app).await;
        app.clock.advance(TimeDelta::seconds(1));
        assert_eq!(sent(&app, &other).await, letters);
        app.clock.advance(TimeDelta::seconds(1));
    }
    // A reservation by a process whose clock was an hour fast is ignored.
    sqlx::query("update relays set next_send_at = next_send_at + interval '1 hour'")
        .execute(&app.db)
        .await
        .unwrap();
    announce(&app, 1).await;
    app.clock.advance(TimeDelta::seconds(2));
    assert_eq!(sent(&app, &other).await, 7);
    // Unused capacity does not accumulate.
    app.clock.advance(TimeDelta::hours(1));
    announce(&app, 3).await;
    assert_eq!(sent(&app, &other).await, 8);
    app.clock.advance(TimeDelta::seconds(2));
    sent(&app, &other).await;
    app.clock.advance(TimeDelta::seconds(2));
    assert_eq!(sent(&app, &other).await, 10);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn warm_up_doubles_daily_across_restarts_and_processes(db: PgPool) {
    let app = TestApp::start_with(db, &WARM_UP).await;
    let other = app.another_with(&WARM_UP);
    let offers = announce(&app, 16).await;
    assert_eq!(sent(&app, &other).await, 2);
    let restarted = app.another_with(&WARM_UP);
    app.clock.advance(TimeDelta::hours(11));
    assert_eq!(sent(&app, &restarted).await, 2, "still the same day");
    expect_untried(&app).await;
    for letters in [6, 14, 16] {
        app.clock.advance(TimeDelta::days(1));
        assert_eq!(sent(&app, &restarted).await, letters, "{}", app.clock.now());
    }
    for offer in &offers {
        app.expect_delivered(offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn concurrent_claims_never_exceed_the_daily_limit(db: PgPool) {
    let day = [WARM_UP[0], ("COURIER_EMAIL__WARM_UP_FIRST_DAY", "7")];
    let app = TestApp::start_with(db, &day).await;
    let others = [app.another_with(&day), app.another_with(&day)];
    announce(&app, 20).await;
    let working = [&app.app, &others[0], &others[1]].map(App::run_due_work);
    futures_util::future::try_join_all(working).await.unwrap();
    assert_eq!(app.relay.letters().len(), 7);
    app.clock.advance(TimeDelta::days(1));
    assert_eq!(sent(&app, &others[0]).await, 20);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn capacity_of_a_failed_letter_is_reused(db: PgPool) {
    let app = TestApp::start_with(db, &WARM_UP).await;
    let other = app.another_with(&[]);
    app.relay.fail(Step::To("unknown.example"), Trouble::Say("550 5.1.1 unknown"), 10);
    app.relay.fail(Step::To("later.example"), Trouble::Say("450 4.2.1 later"), 1);
    for addresses in
        [["a@unknown.example", "a@later.example"], ["a@known.example", "b@known.example"]]
    {
        for address in addresses {
            let offer = app.offer_to(Some(address));
            app.stripe_sends(&app.created(&offer)).await.expect_kept();
        }
        app.run_due_work().await;
    }
    let mut to: Vec<String> =
        app.relay.letters().iter().map(|letter| letter.to[0].clone()).collect();
    // Two readers, each with its share of the accounts, opened them.
    to.sort();
    assert_eq!(to, ["a@known.example", "b@known.example"]);
    // The deferred letter finds no capacity left today.
    app.after(TimeDelta::minutes(1)).await;
    assert_eq!(app.relay.letters().len(), 2);
    // Limits are each process's own: one without a limit is not held back.
    assert_eq!(sent(&app, &other).await, 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn first_letters_go_before_older_reminders(db: PgPool) {
    let settings = [
        ("COURIER_EMAIL__WARM_UP_FROM", "2026-12-01"),
        ("COURIER_EMAIL__WARM_UP_FIRST_DAY", "1"),
        ("COURIER_REMINDERS__AFTER_7_DAYS", "true"),
    ];
    let app = TestApp::start_with(db, &settings).await;
    let reminded = announce(&app, 1).await.remove(0);
    app.run_due_work().await;
    app.expect_delivered(&reminded).await;
    // 9 a.m. in New York, a week later.
    app.clock.advance(TimeDelta::days(7) + TimeDelta::hours(2));
    assert!(app.app.remind_now().await.unwrap());
    app.clock.advance(TimeDelta::minutes(1));
    let first = announce(&app, 1).await.remove(0);
    app.run_due_work().await;
    app.expect_delivered(&first).await;
    assert_eq!(app.relay.letters().len(), 2, "the day has one letter");
    app.after(TimeDelta::days(1)).await;
    let kinds: Vec<String> =
        sqlx::query_scalar("select kind from letters where state = 'sent' order by sent_at")
            .fetch_all(&app.db)
            .await
            .unwrap();
    assert_eq!(kinds, ["offer", "offer", "reminder_7d"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_throttled_domain_is_paused_and_no_other(db: PgPool) {
    let app = TestApp::start(db).await;
    app.relay.fail(Step::To("full.example"), Trouble::Say("421 4.7.28 an unusual rate of mail"), 1);
    let mut full = Vec::new();
    for user in ["a", "b", "c"] {
        let offer = app.offer_to(Some(&format!("{user}@full.example")));
        app.stripe_sends(&app.created(&offer)).await.expect_kept();
        full.push(offer);
    }
    let other = app.offer();
    app.stripe_sends(&app.created(&other)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&other).await;
    for offer in &full {
        app.expect_letter(offer, "waiting", None).await;
    }
    assert_eq!(app.tried_letters().await, 1, "only the refused letter");
    app.after(TimeDelta::seconds(50)).await;
    assert_eq!(app.relay.letters().len(), 1);
    for _ in 0..5 {
        app.after(TimeDelta::seconds(5)).await;
    }
    for offer in &full {
        app.expect_delivered(offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_throttling_relay_opens_the_circuit(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let mut offers = Vec::new();
    for number in 0..12 {
        let offer = app.offer_to(Some(&format!("jenny@shop{number}.example")));
        app.stripe_sends(&app.created(&offer)).await.expect_kept();
        offers.push(offer);
    }
    app.relay.fail(
        Step::Dot,
        Trouble::Say("454 Throttling failure: Maximum sending rate exceeded."),
        u32::MAX,
    );
    app.run_due_work().await;
    let tried: i64 =
        app.one("select count(*) from letters where attempt > 0 and state = $1", "waiting").await;
    assert_eq!(tried, 5, "and then the circuit opened");
    for _ in 0..30 {
        app.after(TimeDelta::minutes(1)).await;
    }
    app.relay.heal();
    for _ in 0..40 {
        app.after(TimeDelta::minutes(1)).await;
    }
    for offer in &offers {
        app.expect_delivered(offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_limits_all_letters_go_at_once(db: PgPool) {
    let app = TestApp::start(db).await;
    announce(&app, 20).await;
    app.run_due_work().await;
    assert_eq!(app.relay.letters().len(), 20);
    let counted: i64 = app.one("select count(*) from relays where relay <> $1", "").await;
    assert_eq!(counted, 0);
    app.finish().await;
}

/// With real workers: a slow domain occupies one of two, not both.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_slow_domain_does_not_hold_up_letters_to_others(db: PgPool) {
    let (stripe, relay, mut env) = world(&db).await;
    for (name, value) in [
        ("COURIER_DELIVERY__CONCURRENCY", "2"),
        ("COURIER_EMAIL__MAX_PER_DOMAIN", "1"),
        ("COURIER_EMAIL__RELAY_TIMEOUT", "10m"),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    relay.fail(Step::To("slow.example"), Trouble::Stall, u32::MAX);
    let process = Process::serve(&env).await;
    let slow = (0..6).map(|number| format!("jenny{number}@slow.example"));
    let others = (0..6).map(|number| format!("jenny@shop{number}.example"));
    for address in slow.chain(others) {
        let account =
            stripe.add_account(&NewAccount { email: Some(address), ..NewAccount::default() });
        stripe.create_offer(&account, &NewOffer::default());
    }
    for event in stripe.events() {
        post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&event).unwrap()).await;
    }
    // slow.example does not reply for the length of this test.
    relay.wait_for(6).await;
    let waiting: i64 = sqlx::query_scalar("select count(*) from letters where state = 'waiting'")
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(waiting, 6, "{}", process.logged());
    assert!(relay.letters().iter().all(|letter| letter.to[0].contains("@shop")));
}
