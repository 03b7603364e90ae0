//! The ledger: each transaction is stored once, in any order, and added up by its effect.

use capital_courier::financing::ledger::store::{movements, totals};
use capital_courier::financing::ledger::{MovementFilter, MovementRange, Totals};
use capital_courier::financing::report::{Days, Granularity, ReportRequest};
use capital_courier::stripe::AccountId;
use chrono::TimeDelta;
use chrono_tz::Tz;
use futures_util::TryStreamExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::browser::Browser;
use crate::support::{TestApp, day_one};

/// The fields of a transaction that an event reports.
pub struct TransactionEvent<'a> {
    pub id: &'a str,
    pub offer: Option<&'a str>,
    pub kind: &'a str,
    pub reason: Option<&'a str>,
    pub total: i64,
    pub reverses: Option<&'a str>,
}

impl TransactionEvent<'_> {
    pub fn event(&self, account: &str) -> Value {
        json!({
            "id": format!("evt_{}", self.id), "object": "event",
            "type": "capital.financing_transaction.created",
            "created": day_one().timestamp(), "livemode": false,
            "data": {"object": {
                "id": self.id, "object": "capital.financing_transaction", "account": account,
                "created_at": day_one().timestamp(), "livemode": false,
                "financing_offer": self.offer, "type": self.kind,
                "user_facing_description": "Paydown of your loan",
                "details": {"advance_amount": self.total - self.total / 11,
                            "fee_amount": self.total / 11, "total_amount": self.total,
                            "currency": "usd", "reason": self.reason,
                            "reversed_transaction": self.reverses},
            }},
        })
    }
}

async fn send(app: &TestApp, transaction: &TransactionEvent<'_>) {
    app.stripe_sends(&transaction.event("acct_1")).await.expect_kept();
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

pub const OFFER: Option<&str> = Some("financingoffer_1");

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn repeated_events_in_any_order_are_added_up_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let payout = TransactionEvent {
        id: "cptxn_1",
        offer: OFFER,
        kind: "payout",
        reason: None,
        total: 110_000,
        reverses: None,
    };
    let withheld = TransactionEvent {
        id: "cptxn_2",
        offer: OFFER,
        kind: "payment",
        reason: Some("automatic_withholding"),
        total: 1_500,
        reverses: None,
    };
    let given_back = TransactionEvent {
        id: "cptxn_3",
        offer: OFFER,
        kind: "reversal",
        reason: Some("automatic_withholding_refund"),
        total: 500,
        reverses: Some("cptxn_2"),
    };
    for transaction in [&given_back, &withheld, &payout, &withheld] {
        send(&app, transaction).await;
    }
    let all = totals(&mut app.db.acquire().await.unwrap(), "acct_1", None).await.unwrap();
    assert_eq!(sums(&all), [(OFFER, 110_000, 1_000, 109_000, 0)]);
    assert!(app.timeline("financingoffer_1").await.len() == 3, "a line for each");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reversal_undoes_the_named_transaction_or_follows_its_reason(db: PgPool) {
    let app = TestApp::start(db).await;
    let reversal = |id, reason, reverses| TransactionEvent {
        id,
        offer: OFFER,
        kind: "reversal",
        reason,
        total: 100,
        reverses,
    };
    let before = |id, kind| TransactionEvent {
        id,
        offer: OFFER,
        kind,
        reason: None,
        total: 1_000,
        reverses: None,
    };
    send(&app, &before("cptxn_payout", "payout")).await;
    send(&app, &before("cptxn_payment", "payment")).await;
    for (transaction, expected) in [
        // The named transaction decides, regardless of the reason.
        (
            reversal("cptxn_a", Some("requested_by_user"), Some("cptxn_payment")),
            (1_000, 900, 100, 0),
        ),
        (
            reversal("cptxn_b", Some("financing_cancellation"), Some("cptxn_payout")),
            (900, 900, 0, 0),
        ),
        (
            reversal("cptxn_c", Some("financing_cancellation"), Some("cptxn_payment")),
            (900, 800, 100, 0),
        ),
        // Named, but unknown.
        (
            reversal("cptxn_d", Some("collection_failure"), Some("cptxn_unknown")),
            (900, 700, 200, 0),
        ),
        // The financing is that of the named payment.
        (
            TransactionEvent { offer: None, ..reversal("cptxn_e", None, Some("cptxn_payment")) },
            (900, 600, 300, 0),
        ),
        // Unclear: a cancellation can undo either kind, and Stripe documents no reversal of a
        // reversal.
        (
            reversal("cptxn_f", Some("financing_cancellation"), Some("cptxn_late")),
            (900, 600, 300, 1),
        ),
        (reversal("cptxn_g", Some("financing_cancellation"), None), (900, 600, 300, 2)),
        (reversal("cptxn_h", Some("requested_by_user"), None), (900, 600, 300, 3)),
        (reversal("cptxn_i", Some("collection_failure"), Some("cptxn_a")), (900, 600, 300, 4)),
        // The type contradicts the reason.
        (
            TransactionEvent { reason: Some("collection_failure"), ..before("cptxn_j", "payment") },
            (900, 600, 300, 5),
        ),
        (
            TransactionEvent {
                reason: Some("financing_cancellation"),
                ..before("cptxn_k", "payout")
            },
            (900, 600, 300, 6),
        ),
        (reversal("cptxn_m", None, Some("cptxn_j")), (900, 600, 300, 7)),
        // The named transaction can arrive after its reversal.
        (before("cptxn_late", "payment"), (900, 1_500, -600, 6)),
    ] {
        send(&app, &transaction).await;
        let all = totals(&mut app.db.acquire().await.unwrap(), "acct_1", None).await.unwrap();
        let (advanced, paid, remaining, unclear) = expected;
        assert_eq!(sums(&all), [(OFFER, advanced, paid, remaining, unclear)], "{}", transaction.id);
    }
    send(&app, &before("cptxn_new", "goodwill")).await;
    send(&app, &reversal("cptxn_l", Some("collection_failure"), Some("cptxn_new"))).await;
    let all = totals(&mut app.db.acquire().await.unwrap(), "acct_1", None).await.unwrap();
    assert_eq!(sums(&all), [(OFFER, 900, 1_500, -600, 8)]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unreadable_transaction_stays_in_the_inbox(db: PgPool) {
    let app = TestApp::start(db).await;
    let transaction = TransactionEvent {
        id: "cptxn_1",
        offer: None,
        kind: "payment",
        reason: None,
        total: 1,
        reverses: None,
    };
    let mut event = transaction.event("acct_1");
    event["data"]["object"]["details"]["total_amount"] = json!("a lot");
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
    let note: String =
        app.one("select note from inbox_events where state = $1", "unreadable").await;
    assert!(note.contains("not a known form of transaction"), "{note}");
    assert!(totals(&mut app.db.acquire().await.unwrap(), "acct_1", None).await.unwrap().is_empty());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn movements_of_a_range_are_ordered_and_signed(db: PgPool) {
    let app = TestApp::start(db).await;
    send(
        &app,
        &TransactionEvent {
            id: "cptxn_1",
            offer: OFFER,
            kind: "payout",
            reason: None,
            total: 1_100,
            reverses: None,
        },
    )
    .await;
    send(
        &app,
        &TransactionEvent {
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
    let period = |from, until, account_id| MovementRange { from, until, account_id };
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

/// A random financing: the events of an advance, payments and some reversals, and the expected
/// advanced and paid amounts.
fn life(random: &mut StdRng, offer: &str) -> (Vec<Value>, (i64, i64)) {
    let mut events = Vec::new();
    let advanced = random.random_range(1_000..10_000_000);
    let payout = format!("cptxn_{offer}_payout");
    events.push(
        TransactionEvent {
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
                    TransactionEvent {
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
                    TransactionEvent {
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
async fn shuffled_and_repeated_events_add_up_to_the_cent(db: PgPool) {
    let app = TestApp::start(db).await;
    let mut random = StdRng::seed_from_u64(20_261_125);
    let (mut events, mut truth) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let offer = format!("financingoffer_{number}");
        let (transaction, sums) = life(&mut random, &offer);
        events.extend(transaction.iter().cloned());
        events.extend(transaction.into_iter().filter(|_| random.random_bool(0.2)));
        truth.push((offer, sums));
    }
    events.shuffle(&mut random);
    for event in &events {
        app.stripe_sends(event).await.expect_kept();
    }
    app.run_due_work().await;
    let mut all = totals(&mut app.db.acquire().await.unwrap(), "acct_1", None).await.unwrap();
    all.sort_by(|one, other| one.offer_id.cmp(&other.offer_id));
    truth.sort();
    let found: Vec<(String, (i64, i64))> = all
        .iter()
        .map(|of| (of.offer_id.clone().unwrap(), (of.advanced_minor, of.paid_minor)))
        .collect();
    assert_eq!(found, truth);
    assert!(
        all.iter()
            .all(|of| of.remaining_minor == of.advanced_minor - of.paid_minor && of.unclear == 0)
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn absurd_amounts_are_unclear_and_in_no_sum(db: PgPool) {
    let app = TestApp::start(db).await;
    let plain = TransactionEvent {
        id: "cptxn_1",
        offer: OFFER,
        kind: "payout",
        reason: None,
        total: 110_000,
        reverses: None,
    };
    let absurd = |id, kind, total, reverses| TransactionEvent {
        id,
        offer: OFFER,
        kind,
        reason: None,
        total,
        reverses,
    };
    for transaction in [
        plain,
        absurd("cptxn_2", "payout", i64::MAX, None),
        absurd("cptxn_3", "payout", i64::MAX, None),
        absurd("cptxn_4", "payment", i64::MIN, None),
        absurd("cptxn_5", "reversal", i64::MIN, Some("cptxn_4")),
        absurd("cptxn_6", "reversal", i64::MAX, Some("cptxn_2")),
    ] {
        send(&app, &transaction).await;
    }
    // The total fits, but the advance cannot be negated.
    let mut odd = TransactionEvent {
        id: "cptxn_7",
        offer: OFFER,
        kind: "reversal",
        reason: None,
        total: 1,
        reverses: Some("cptxn_1"),
    }
    .event("acct_1");
    odd["data"]["object"]["details"]["advance_amount"] = i64::MIN.into();
    app.stripe_sends(&odd).await.expect_kept();
    app.run_due_work().await;
    let unreadable: i64 =
        app.one("select count(*) from inbox_events where state = $1", "unreadable").await;
    assert_eq!(unreadable, 0);

    let all = totals(&mut app.db.acquire().await.unwrap(), "acct_1", None).await.unwrap();
    assert_eq!(sums(&all), [(OFFER, 109_999, 0, 109_999, 5)]);
    let account: AccountId = "acct_1".parse().unwrap();
    let wanted = MovementFilter::default();
    assert_eq!(app.app.financings().movements(&account, &wanted, 10).await.unwrap().len(), 7);
    let day = day_one().date_naive();
    let report = app
        .app
        .financings()
        .report(
            &account,
            &ReportRequest {
                days: Days::new(day, day).unwrap(),
                granularity: Granularity::Day,
                zone: Tz::UTC,
                offer_id: None,
            },
        )
        .await
        .unwrap();
    assert_eq!((report.totals[0].advanced_minor, report.totals[0].unclear), (109_999, 5));
    let browser = Browser::signed_in(&app, "acct_1").await;
    for path in ["/capital", "/capital/statement", "/capital/statement.csv"] {
        browser.open(path).await.expect_says(&[]);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn sums_beyond_a_bigint_saturate(db: PgPool) {
    let app = TestApp::start(db).await;
    // The sum of 9,224 transactions of the largest accepted amount exceeds a bigint.
    sqlx::query(
        "insert into financing_transactions (transaction_id, account_id, offer_id, livemode, type,
             currency, total_minor, object, created_at, first_seen_at)
         select 'cptxn_' || n, 'acct_1', 'financingoffer_1', false, 'payout', 'usd',
             1000000000000000, '{}', $1, $1
         from generate_series(1, 10000) as n",
    )
    .bind(day_one())
    .execute(&app.db)
    .await
    .unwrap();
    let all = totals(&mut app.db.acquire().await.unwrap(), "acct_1", None).await.unwrap();
    assert_eq!(sums(&all), [(OFFER, i64::MAX, 0, i64::MAX, 0)]);
    let account: AccountId = "acct_1".parse().unwrap();
    let day = day_one().date_naive();
    let report = app
        .app
        .financings()
        .report(
            &account,
            &ReportRequest {
                days: Days::new(day, day).unwrap(),
                granularity: Granularity::Month,
                zone: Tz::UTC,
                offer_id: None,
            },
        )
        .await
        .unwrap();
    assert_eq!(report.totals[0].advanced_minor, i64::MAX);
    app.finish().await;
}
