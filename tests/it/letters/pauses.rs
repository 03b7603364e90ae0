//! Pauses: nothing in scope leaves, nothing is lost, and what waited leaves once after `resume`.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use capital_courier::letters::Kind;
use capital_courier::letters::pauses::{self, Pause, Paused, Scope, UnsentCounts};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use stripe_simulator::{Action, NewAccount, NewOffer};

use crate::support::smtp::{Step, Trouble};
use crate::support::wait::eventually;
use crate::support::{TestApp, as_service};

const ALL: Scope = Scope { market: None, kind: None };

fn market(market: &str) -> Scope {
    Scope { market: Some(market.to_owned()), kind: None }
}

/// Pauses a scope that was not paused. Also returns the unsent letters at that moment.
async fn pause(app: &TestApp, scope: &Scope) -> (Pause, UnsentCounts) {
    let mut tx = app.db.begin().await.unwrap();
    let paused = pauses::pause(&mut tx, scope, "ops", "wrong template", app.clock.now()).await;
    let unsent = pauses::count_unsent(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    match paused.unwrap() {
        Paused::Begun(pause) => (pause, unsent),
        Paused::Already(pause) => panic!("paused already: {pause:?}"),
    }
}

async fn resume(app: &TestApp, scope: &Scope) {
    let mut tx = app.db.begin().await.unwrap();
    let ended = pauses::resume(&mut tx, scope, "ops", "corrected", app.clock.now()).await;
    tx.commit().await.unwrap();
    assert!(ended.unwrap().is_some(), "{scope} was not paused");
}

/// Announces an offer of this campaign to an account in this country, and opens its letter.
async fn announce(app: &TestApp, country: &str, campaign: &str) -> String {
    let account = NewAccount {
        name: Some("Jenny's Bakery".to_owned()),
        email: Some("jenny@bakery.example".to_owned()),
        country: Some(country.to_owned()),
    };
    let account = app.stripe.add_account(&account);
    let offer = NewOffer { campaign_type: campaign.to_owned(), ..NewOffer::default() };
    let offer = app.stripe.create_offer(&account, &offer);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    offer
}

async fn announce_to(app: &TestApp, country: &str) -> String {
    announce(app, country, "newly_eligible_user").await
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn while_all_is_paused_nothing_leaves_and_then_everything_does_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let other = app.another_with(&[]);
    let before = announce_to(&app, "US").await;
    pause(&app, &ALL).await;
    let mut offers = vec![before];
    for country in ["US", "GB", "DE"] {
        offers.push(announce_to(&app, country).await);
    }
    for _ in 0..3 {
        app.run_due_work().await;
        other.run_due_work().await.unwrap();
        app.clock.advance(TimeDelta::hours(5));
    }
    assert_eq!((app.relay.connections(), app.tried_letters().await), (0, 0));
    assert_eq!(app.letters_in_state("waiting").await, 4);
    assert!(app.stripe.requests().is_empty(), "letters that wait cost calls to Stripe");
    let ready = app.ask(Request::get("/readyz").body(Body::empty()).unwrap()).await;
    assert_eq!(ready.status, 200, "{}", ready.body);

    resume(&app, &ALL).await;
    let (one, two) = tokio::join!(app.app.run_due_work(), other.run_due_work());
    one.and(two).unwrap();
    app.run_due_work().await;
    for offer in &offers {
        app.expect_delivered(offer).await;
        app.expect_attempts(offer, &[(1, "sent")]).await;
    }
    app.finish().await;
}

/// As the service's own role, which may end a pause and not change it.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn letters_for_a_paused_market_wait_and_others_leave(db: PgPool) {
    let app = TestApp::start(as_service(&db).await).await;
    let (paused, _) = pause(&app, &market("GB")).await;
    let (us, gb) = (announce_to(&app, "US").await, announce_to(&app, "GB").await);
    app.run_due_work().await;
    app.expect_delivered(&us).await;
    app.expect_letter(&gb, "waiting", None).await;
    assert_eq!((app.relay.connections(), app.tried_letters().await), (1, 0));

    // The letter is not looked at again at once.
    let calls = app.stripe.requests().len();
    app.after(TimeDelta::minutes(30)).await;
    assert_eq!(app.stripe.requests().len(), calls);
    for _ in 0..20 {
        app.after(TimeDelta::hours(2)).await;
    }
    assert_eq!(app.tried_letters().await, 0, "a pause used up attempts");
    app.expect_letter(&gb, "waiting", None).await;

    // Due without waiting for the next look.
    resume(&app, &market("GB")).await;
    app.run_due_work().await;
    app.expect_delivered(&gb).await;
    app.expect_attempts(&gb, &[(1, "sent")]).await;
    let change = "update pauses set reason = $1";
    let error = sqlx::query(change).bind(paused.reason).execute(&app.db).await.unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_scope_may_name_a_kind_and_a_market(db: PgPool) {
    let app = TestApp::start(db).await;
    let repeat_in_us = Scope { kind: Some(Kind::Repeat), ..market("US") };
    let previously = Scope { market: None, kind: Some(Kind::PreviouslyEligible) };
    pause(&app, &repeat_in_us).await;
    pause(&app, &previously).await;
    let us = announce(&app, "US", "repeat_user").await;
    let gb = announce(&app, "GB", "repeat_user").await;
    let first = announce(&app, "US", "newly_eligible_user").await;
    let german = announce(&app, "DE", "previously_eligible_user").await;
    app.run_due_work().await;
    for (offer, state) in [(&us, "waiting"), (&gb, "sent"), (&first, "sent"), (&german, "waiting")]
    {
        app.expect_letter(offer, state, None).await;
    }
    // What another pause stops is put off again.
    resume(&app, &repeat_in_us).await;
    app.run_due_work().await;
    app.expect_delivered(&us).await;
    app.expect_letter(&german, "waiting", None).await;
    resume(&app, &previously).await;
    app.run_due_work().await;
    app.expect_delivered(&german).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_is_being_handed_over_is_finished(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = announce_to(&app, "US").await;
    app.relay.fail(Step::Dot, Trouble::Wait(Duration::from_secs(1)), 1);
    let paused = async {
        app.relay.reached(Step::Dot).await;
        pause(&app, &ALL).await.1
    };
    let (unsent, ()) = tokio::join!(paused, app.run_due_work());
    assert_eq!(unsent, UnsentCounts { sending: 1, waiting: 0 });
    // Stripe is told, because it is true.
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_pause_during_the_dialogue_with_the_relay_stops_the_message(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = announce_to(&app, "US").await;
    for scope in [ALL, market("US")] {
        app.relay.fail(Step::Data, Trouble::Wait(Duration::from_secs(1)), 1);
        app.relay.forget(Step::Data);
        let paused = async {
            app.relay.reached(Step::Data).await;
            pause(&app, &scope).await.1
        };
        let (unsent, ()) = tokio::join!(paused, app.run_due_work());
        assert_eq!(unsent, UnsentCounts { sending: 0, waiting: 1 });
        app.expect_letter(&offer, "waiting", None).await;
        app.expect_untouched(&offer).await;
        assert_eq!(app.tried_letters().await, 0);
        resume(&app, &scope).await;
    }
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.expect_attempts(&offer, &[(1, "sent")]).await;
    app.finish().await;
}

/// How many sessions of this database wait for a lock of this type and mode.
async fn waiting_for(db: &PgPool, lock: &str, mode: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from pg_locks
         join pg_stat_activity using (pid)
         where datname = current_database() and not granted and locktype = $1 and mode = $2",
    )
    .bind(lock)
    .bind(mode)
    .fetch_one(db)
    .await
    .unwrap()
}

async fn until_waiting_for(db: &PgPool, lock: &str, mode: &str) {
    let context = || format!("nothing waits for {lock} in {mode}");
    eventually(context, async || waiting_for(db, lock, mode).await > 0).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_pause_waits_for_a_letter_that_begins_to_leave_and_none_overtakes_it(db: PgPool) {
    let app = TestApp::start(db).await;
    let other = app.another_with(&[]);
    let (begun, late) = (announce_to(&app, "US").await, announce_to(&app, "GB").await);
    let set_due = async |at: DateTime<Utc>| {
        let query = "update jobs set due_at = $2
            where subject = (select letter_id from letters where offer_id = $1)";
        sqlx::query(query).bind(&late).bind(at).execute(&app.db).await.unwrap();
    };
    set_due(app.clock.now() + TimeDelta::hours(1)).await;
    // Keeps the transaction that begins to send the first letter from ending.
    let mut obstacle = app.db.begin().await.unwrap();
    sqlx::query("select from letters where offer_id = $1 for update")
        .bind(&begun)
        .execute(&mut *obstacle)
        .await
        .unwrap();
    let pausing = async {
        until_waiting_for(&app.db, "transactionid", "ShareLock").await;
        pause(&app, &ALL).await
    };
    let rest = async {
        until_waiting_for(&app.db, "advisory", "ExclusiveLock").await;
        set_due(app.clock.now()).await;
        // The pause has not committed, so the other letter is claimed. It does not overtake it.
        let release = async {
            until_waiting_for(&app.db, "advisory", "ShareLock").await;
            obstacle.commit().await.unwrap();
        };
        tokio::join!(other.run_due_work(), release).0.unwrap();
    };
    app.relay.fail(Step::Dot, Trouble::Wait(Duration::from_secs(1)), 1);
    let ((_, unsent), (), ()) = tokio::join!(pausing, rest, app.run_due_work());
    assert_eq!(unsent, UnsentCounts { sending: 1, waiting: 1 });
    app.expect_letter(&begun, "sent", None).await;
    app.expect_letter(&late, "waiting", None).await;
    resume(&app, &ALL).await;
    app.run_due_work().await;
    app.expect_delivered(&begun).await;
    app.expect_delivered(&late).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn during_a_pause_ended_offers_and_opt_outs_stop_letters_as_usual(db: PgPool) {
    let app = TestApp::start(db).await;
    let (told, lost) = (announce_to(&app, "US").await, announce_to(&app, "GB").await);
    let opted_out = announce_to(&app, "DE").await;
    pause(&app, &ALL).await;
    app.stripe.perform(Action::Expire, &told).unwrap();
    let expired = app.event(&told, "capital.financing_offer.expired");
    app.stripe_sends(&expired).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&told, "withdrawn", Some("offer_expired")).await;
    app.opts_out(&app.account_of(&opted_out)).await;
    app.expect_letter(&opted_out, "suppressed", Some("opted_out")).await;

    // An end whose event was lost is noticed after the pause, or at a look during it.
    pause(&app, &market("GB")).await;
    resume(&app, &ALL).await;
    app.run_due_work().await;
    app.expect_letter(&lost, "waiting", None).await;
    app.stripe.perform(Action::Expire, &lost).unwrap();
    app.after(TimeDelta::hours(2)).await;
    app.expect_letter(&lost, "withdrawn", Some("offer_expired")).await;
    resume(&app, &market("GB")).await;
    app.run_due_work().await;
    assert_eq!(app.relay.connections(), 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn reminders_are_opened_and_wait(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_REMINDERS__AFTER_7_DAYS", "true")]).await;
    let reminders = Scope { market: None, kind: Some(Kind::Reminder7d) };
    let offer = announce_to(&app, "US").await;
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    pause(&app, &reminders).await;
    app.clock.advance(TimeDelta::days(7) + TimeDelta::hours(4));
    assert!(app.app.remind_now().await.unwrap());
    app.run_due_work().await;
    app.expect_sequence(&offer, &["offer sent", "reminder_7d waiting"]).await;
    resume(&app, &reminders).await;
    app.run_due_work().await;
    app.expect_sequence(&offer, &["offer sent", "reminder_7d sent"]).await;
    app.finish().await;
}
