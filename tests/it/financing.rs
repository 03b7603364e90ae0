//! Movements of financings: kept once, in whatever order they come, and added up by what they mean.

use capital_courier::financing::ledger::store::{movements, totals};
use capital_courier::financing::ledger::{Period, Totals};
use capital_courier::simulator::Button;
use chrono::TimeDelta;
use futures_util::TryStreamExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApp, day_one};

/// A movement as Stripe tells of it.
struct Told<'a> {
    id: &'a str,
    offer: Option<&'a str>,
    kind: &'a str,
    reason: Option<&'a str>,
    total: i64,
    reverses: Option<&'a str>,
}

impl Told<'_> {
    fn event(&self, account: &str) -> Value {
        json!({
            "id": format!("evt_{}", self.id), "object": "event", "type": "capital.financing_transaction.created",
            "created": day_one().timestamp(), "livemode": false,
            "data": {"object": {
                "id": self.id, "object": "capital.financing_transaction", "account": account,
                "created_at": day_one().timestamp(), "livemode": false, "financing_offer": self.offer, "type": self.kind,
                "user_facing_description": "Paydown of your loan",
                "details": {"advance_amount": self.total - self.total / 11, "fee_amount": self.total / 11,
                            "total_amount": self.total, "currency": "usd", "reason": self.reason,
                            "reversed_transaction": self.reverses},
            }},
        })
    }
}

async fn tell(app: &TestApp, told: &Told<'_>) {
    app.stripe_sends(&told.event("acct_1")).await.expect_kept();
    app.run_due_work().await;
}

fn sums(totals: &[Totals]) -> Vec<(Option<&str>, i64, i64, i64, i64)> {
    let sum = |of: &'_ Totals| (of.advanced_minor, of.paid_minor, of.remaining_minor, of.unclear);
    totals
        .iter()
        .map(|of| {
            let (advanced, paid, remaining, unclear) = sum(of);
            (of.offer_id.as_deref(), advanced, paid, remaining, unclear)
        })
        .collect()
}

const OFFER: Option<&str> = Some("financingoffer_1");

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_stripe_tells_twice_and_backwards_is_added_up_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let payout =
        Told { id: "cptxn_1", offer: OFFER, kind: "payout", reason: None, total: 110_000, reverses: None };
    let withheld = Told {
        id: "cptxn_2",
        offer: OFFER,
        kind: "payment",
        reason: Some("automatic_withholding"),
        total: 1_500,
        reverses: None,
    };
    let given_back = Told {
        id: "cptxn_3",
        offer: OFFER,
        kind: "reversal",
        reason: Some("automatic_withholding_refund"),
        total: 500,
        reverses: Some("cptxn_2"),
    };
    for told in [&given_back, &withheld, &payout, &withheld] {
        tell(&app, told).await;
    }
    let all = totals(&app.db, "acct_1", None).await.unwrap();
    assert_eq!(sums(&all), [(OFFER, 110_000, 1_000, 109_000, 0)]);
    assert!(app.timeline("financingoffer_1").await.len() == 3, "a line for each");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reversal_undoes_what_it_names_and_else_what_its_reason_says(db: PgPool) {
    let app = TestApp::start(db).await;
    let reversal =
        |id, reason, reverses| Told { id, offer: OFFER, kind: "reversal", reason, total: 100, reverses };
    let before = |id, kind| Told { id, offer: OFFER, kind, reason: None, total: 1_000, reverses: None };
    tell(&app, &before("cptxn_payout", "payout")).await;
    tell(&app, &before("cptxn_payment", "payment")).await;
    for (told, expected) in [
        // Named: whatever the reason.
        (reversal("cptxn_a", Some("requested_by_user"), Some("cptxn_payment")), (1_000, 900, 100, 0)),
        (reversal("cptxn_b", Some("financing_cancellation"), Some("cptxn_payout")), (900, 900, 0, 0)),
        (reversal("cptxn_c", Some("financing_cancellation"), Some("cptxn_payment")), (900, 800, 100, 0)),
        // Named, and never told of.
        (reversal("cptxn_d", Some("collection_failure"), Some("cptxn_unknown")), (900, 700, 200, 0)),
        // Of no financing, but of a payment that has one.
        (Told { offer: None, ..reversal("cptxn_e", None, Some("cptxn_payment")) }, (900, 600, 300, 0)),
        // Nobody can tell: a cancellation undoes either, a reversal of a reversal is nothing that Stripe tells of.
        (reversal("cptxn_f", Some("financing_cancellation"), Some("cptxn_late")), (900, 600, 300, 1)),
        (reversal("cptxn_g", Some("financing_cancellation"), None), (900, 600, 300, 2)),
        (reversal("cptxn_h", Some("requested_by_user"), None), (900, 600, 300, 3)),
        (reversal("cptxn_i", Some("collection_failure"), Some("cptxn_a")), (900, 600, 300, 4)),
        // Words that contradict each other.
        (Told { reason: Some("collection_failure"), ..before("cptxn_j", "payment") }, (900, 600, 300, 5)),
        (Told { reason: Some("financing_cancellation"), ..before("cptxn_k", "payout") }, (900, 600, 300, 6)),
        // What a reversal names may come after it.
        (before("cptxn_late", "payment"), (900, 1_500, -600, 5)),
    ] {
        tell(&app, &told).await;
        let all = totals(&app.db, "acct_1", None).await.unwrap();
        let (advanced, paid, remaining, unclear) = expected;
        assert_eq!(sums(&all), [(OFFER, advanced, paid, remaining, unclear)], "{}", told.id);
    }
    tell(&app, &before("cptxn_new", "goodwill")).await;
    tell(&app, &reversal("cptxn_l", Some("collection_failure"), Some("cptxn_new"))).await;
    let all = totals(&app.db, "acct_1", None).await.unwrap();
    assert_eq!(sums(&all), [(OFFER, 900, 1_500, -600, 7)]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_cannot_be_read_is_kept_and_read_when_somebody_mends_it(db: PgPool) {
    let app = TestApp::start(db).await;
    let told = Told { id: "cptxn_1", offer: None, kind: "payment", reason: None, total: 1, reverses: None };
    let mut event = told.event("acct_1");
    event["data"]["object"]["details"]["total_amount"] = json!("a lot");
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
    let note: String = app.one("select note from inbox_events where state = $1", "unreadable").await;
    assert!(note.contains("no transaction that we know"), "{note}");
    assert!(totals(&app.db, "acct_1", None).await.unwrap().is_empty());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn movements_of_a_period_come_in_order_with_their_signs(db: PgPool) {
    let app = TestApp::start(db).await;
    tell(
        &app,
        &Told { id: "cptxn_1", offer: OFFER, kind: "payout", reason: None, total: 1_100, reverses: None },
    )
    .await;
    tell(
        &app,
        &Told {
            id: "cptxn_2",
            offer: None,
            kind: "reversal",
            reason: None,
            total: 110,
            reverses: Some("cptxn_1"),
        },
    )
    .await;
    let day = TimeDelta::days(1);
    let period = |from, until, account_id| Period { from, until, account_id };
    for (asked, count) in [
        (period(day_one(), day_one() + day, None), 2),
        (period(day_one() - day, day_one(), None), 0),
        (period(day_one(), day_one() + day, Some("acct_1")), 2),
        (period(day_one(), day_one() + day, Some("acct_2")), 0),
    ] {
        let mut connection = app.db.acquire().await.unwrap();
        let found: Vec<_> = movements(&mut connection, &asked).try_collect().await.unwrap();
        assert_eq!(found.len(), count, "{asked:?}");
        if let [payout, reversal] = found.as_slice() {
            assert_eq!(
                (payout.total_minor, payout.fee_minor, payout.effect.as_str()),
                (1_100, Some(100), "advanced")
            );
            assert_eq!((reversal.total_minor, reversal.fee_minor), (-110, Some(-10)));
        }
    }
    app.finish().await;
}

/// A random life: an advance, payments, and reversals of some of them; what they come to, kept apart from how they are told.
fn life(random: &mut StdRng, offer: &str) -> (Vec<Value>, (i64, i64)) {
    let mut events = Vec::new();
    let advanced = random.random_range(1_000..10_000_000);
    let payout = format!("cptxn_{offer}_payout");
    events.push(
        Told {
            id: &payout,
            offer: Some(offer),
            kind: "payout",
            reason: None,
            total: advanced,
            reverses: None,
        }
        .event("acct_1"),
    );
    let (mut paid, mut payments) = (0, Vec::new());
    for step in 0..random.random_range(0..25) {
        let id = format!("cptxn_{offer}_{step}");
        let undone: Option<&(String, i64)> = payments.choose(random);
        match undone {
            Some((reversed, total)) if random.random_bool(0.3) => {
                let part = random.random_range(1..=*total);
                paid -= part;
                events.push(
                    Told {
                        id: &id,
                        offer: Some(offer),
                        kind: "reversal",
                        reason: Some("collection_failure"),
                        total: part,
                        reverses: Some(reversed),
                    }
                    .event("acct_1"),
                );
            }
            Some(_) | None => {
                let total = random.random_range(1..=advanced);
                paid += total;
                events.push(
                    Told {
                        id: &id,
                        offer: Some(offer),
                        kind: "payment",
                        reason: Some("collection"),
                        total,
                        reverses: None,
                    }
                    .event("acct_1"),
                );
                payments.push((id, total));
            }
        }
    }
    (events, (advanced, paid))
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn in_any_order_and_with_repetitions_a_life_adds_up_to_the_cent(db: PgPool) {
    let app = TestApp::start(db).await;
    let mut random = StdRng::seed_from_u64(20_261_125);
    let (mut events, mut truth) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let offer = format!("financingoffer_{number}");
        let (told, sums) = life(&mut random, &offer);
        events.extend(told.iter().cloned());
        events.extend(told.into_iter().filter(|_| random.random_bool(0.2)));
        truth.push((offer, sums));
    }
    events.shuffle(&mut random);
    for event in &events {
        app.stripe_sends(event).await.expect_kept();
    }
    app.run_due_work().await;
    let mut all = totals(&app.db, "acct_1", None).await.unwrap();
    all.sort_by(|one, other| one.offer_id.cmp(&other.offer_id));
    truth.sort();
    let found: Vec<(String, (i64, i64))> =
        all.iter().map(|of| (of.offer_id.clone().unwrap(), (of.advanced_minor, of.paid_minor))).collect();
    assert_eq!(found, truth);
    assert!(all.iter().all(|of| of.remaining_minor == of.advanced_minor - of.paid_minor && of.unclear == 0));
    app.finish().await;
}

/// A transaction of Stripe's list, which no event told of.
fn listed(account: &str, number: usize) -> Value {
    let id = format!("cptxn_{number:04}");
    let told = Told {
        id: &id,
        offer: OFFER,
        kind: "payment",
        reason: Some("automatic_withholding"),
        total: 100,
        reverses: None,
    };
    let mut object = told.event(account)["data"]["object"].clone();
    // One a hour, the newest of 300 on the first day.
    object["created_at"] =
        json!((day_one() - TimeDelta::hours(300 - i64::try_from(number).unwrap())).timestamp());
    object
}

async fn kept(app: &TestApp) -> i64 {
    sqlx::query_scalar("select count(*) from financing_transactions").fetch_one(&app.db).await.unwrap()
}

/// An offer to an account that has had so many transactions before this service was there.
async fn account_with_a_past(app: &TestApp, transactions: usize) -> (String, String) {
    let offer = app.offer();
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    for number in 0..transactions {
        app.stripe.add_transaction(&account, listed(&account, number));
    }
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    (offer, account)
}

fn list_calls(app: &TestApp) -> usize {
    app.stripe.calls().iter().filter(|call| call.path.ends_with("/financing_transactions")).count()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_was_before_this_service_is_read_after_the_letter_and_to_its_end(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = account_with_a_past(&app, 250).await;
    app.app.read_transactions().await.unwrap();
    assert_eq!((kept(&app).await, list_calls(&app)), (0, 0), "letters come first");
    app.clock.advance(TimeDelta::minutes(6));
    app.app.read_transactions().await.unwrap();
    assert_eq!((kept(&app).await, list_calls(&app)), (250, 3));
    let calls = app.stripe.calls();
    let call = calls.iter().find(|call| call.path.ends_with("/financing_transactions")).unwrap();
    assert_eq!(call.stripe_account.as_deref(), Some(account.as_str()));
    // No financing is under way: that was it.
    app.clock.advance(TimeDelta::days(3));
    app.app.read_transactions().await.unwrap();
    assert_eq!(list_calls(&app), 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn reading_that_was_cut_off_goes_on_after_the_last_page(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = account_with_a_past(&app, 250).await;
    app.clock.advance(TimeDelta::minutes(6));
    // A process that was killed had written the first page down.
    sqlx::query("insert into transaction_backfills (account_id, after_transaction_id, changed_at) values ($1, 'cptxn_0150', now())")
        .bind(&account)
        .execute(&app.db)
        .await
        .unwrap();
    app.app.read_transactions().await.unwrap();
    assert_eq!((kept(&app).await, list_calls(&app)), (150, 2), "no page twice");
    let completed: bool = app
        .one("select completed_at is not null from transaction_backfills where account_id = $1", &account)
        .await;
    assert!(completed);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn while_a_financing_is_under_way_the_list_is_read_each_day_back_to_what_was_seen(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = account_with_a_past(&app, 250).await;
    app.clock.advance(TimeDelta::minutes(6));
    app.app.read_transactions().await.unwrap();
    for button in [Button::Apply, Button::Approve] {
        app.stripe.press(button, &offer).unwrap();
    }
    app.stripe_sends(&app.event(&offer, "capital.financing_offer.paid_out")).await.expect_kept();
    app.run_due_work().await;
    app.app.read_transactions().await.unwrap();
    assert_eq!(
        (kept(&app).await, list_calls(&app)),
        (251, 4),
        "at once, as a financing began; one page goes back further than two days, and it has the payout"
    );
    app.stripe.add_transaction(&account, listed(&account, 250));
    let mut odd = listed(&account, 251);
    odd["details"] = json!("none");
    app.stripe.add_transaction(&account, odd);
    app.clock.advance(TimeDelta::hours(25));
    app.app.read_transactions().await.unwrap();
    assert_eq!((kept(&app).await, list_calls(&app)), (252, 5));
    let unreadable: i32 =
        app.one("select unreadable from transaction_backfills where account_id = $1", &account).await;
    assert_eq!(unreadable, 1);
    app.finish().await;
}
