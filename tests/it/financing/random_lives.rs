//! Random lives of merchants in the simulator: in any order of events, the ledger, Stripe's summary
//! and the reports agree with the truth to the cent.

use std::collections::BTreeMap;

use capital_courier::financing::ledger::store::totals;
use capital_courier::financing::report::{Days, Granularity, ReportRequest};
use capital_courier::financing::{BackfillRequests, ObservedTransaction, record_all};
use capital_courier::flow::offer;
use capital_courier::letters;
use capital_courier::offers;
use capital_courier::stripe::AccountId;
use chrono::{DateTime, NaiveDate};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use sqlx::PgPool;

use crate::support::expected_ledger::{ExpectedFinancing, ExpectedLedger, FinancingPhase};
use crate::support::random_merchant::RandomMerchant;
use crate::support::{TestApp, time_source};

/// Records all transactions of an account in random order, some of them twice.
async fn record_transactions(app: &TestApp, account: &str, dice: &mut StdRng) -> usize {
    let mut all = app.stripe.transactions(account);
    let again: Vec<Value> = all.sample(dice, all.len() / 3).cloned().collect();
    all.extend(again);
    all.shuffle(dice);
    let mut tx = app.db.begin().await.unwrap();
    for object in &all {
        let (transaction, object) =
            (&serde_json::from_value(object.clone()).unwrap(), &object.to_string());
        let observed = [ObservedTransaction { transaction, object }];
        record_all(&mut tx, &observed, app.clock.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    all.len()
}

/// Applies all events of an account's offers in random order, some of them twice, and runs the
/// resulting jobs. Returns how many offers were canceled after the payout.
async fn apply_offer_events(app: &TestApp, account: &str, dice: &mut StdRng) -> usize {
    let mut all = app.stripe.events();
    all.retain(|event| {
        let of_offer =
            event["type"].as_str().is_some_and(|kind| kind.starts_with("capital.financing_offer."));
        of_offer && event["data"]["object"]["account"] == account
    });
    let again: Vec<Value> = all.sample(dice, all.len() / 3).cloned().collect();
    all.extend(again);
    all.shuffle(dice);
    let letters = letters::Opener::new("courier.example");
    let mut tx = app.db.begin().await.unwrap();
    for (number, event) in all.iter().enumerate() {
        let object = &event["data"]["object"];
        let id = format!("{}_{number}", event["id"].as_str().unwrap());
        let observation = offers::ObservedOffer {
            offer: &serde_json::from_value(object.clone()).unwrap(),
            object: &object.to_string(),
            source: offers::Source::Event {
                id: &id,
                event_type: event["type"].as_str().unwrap(),
                traceparent: None,
            },
            as_of: DateTime::from_timestamp(event["created"].as_i64().unwrap(), 0).unwrap(),
        };
        let _ = offer::apply(&mut tx, &observation, &letters, app.clock.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    app.run_due_work().await;
    let mut canceled = 0;
    let mut offers = app.stripe.offers();
    offers.retain(|offer| offer["account"] == account);
    for offer in &offers {
        let id = offer["id"].as_str().unwrap();
        let status: String =
            app.one("select status from financing_offers where offer_id = $1", id).await;
        // No event reports the delivery; reconciliation finds it.
        let is_silent = offer["status"] == "delivered" && status == "undelivered";
        assert!(
            is_silent || offer["status"] == status.as_str(),
            "{id}: {status}, but {}",
            offer["status"]
        );
        let was_paid_out = !offer["status_transitions"]["paid_out_at"].is_null();
        canceled += usize::from(status == "canceled" && was_paid_out);
    }
    canceled
}

/// Reads the account's list, in which nothing is new, and with it the discounts.
async fn read_list(app: &TestApp, account: &AccountId) {
    let mut tx = app.db.begin().await.unwrap();
    BackfillRequests::now(account).queue(&mut tx, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    app.app.read_transactions().await.unwrap();
    // The next life is months later: the daily passes of this one would all be due.
    sqlx::query("delete from jobs where kind = 'backfill_transactions'")
        .execute(&app.db)
        .await
        .unwrap();
}

async fn expect_ledger_is_true(app: &TestApp, account: &str, truth: &ExpectedLedger) {
    let totals = totals(&mut app.db.acquire().await.unwrap(), account, None).await.unwrap();
    assert_eq!(totals.len(), truth.financings.len(), "{account}");
    for financing in &truth.financings {
        let ours =
            totals.iter().find(|of| of.offer_id.as_deref() == Some(&financing.offer)).unwrap();
        let advanced = match financing.phase {
            FinancingPhase::Active | FinancingPhase::FullyRepaid => {
                financing.advance_minor + financing.fee_minor
            }
            FinancingPhase::Canceled => 0,
        };
        let paid = financing.paid_minor - financing.reversed_minor;
        // Stripe tells the discount only when the financing is over.
        let (discounted, not_yet_told) = match financing.phase {
            FinancingPhase::Active => (0, financing.discounted_minor),
            FinancingPhase::FullyRepaid => (financing.discounted_minor, 0),
            FinancingPhase::Canceled => (0, 0),
        };
        let remaining = financing.remaining_minor + not_yet_told;
        let currency = financing.currency.as_str();
        let expected = (advanced, paid, discounted, remaining, 0, currency);
        let found = (
            ours.advanced_minor,
            ours.paid_minor,
            ours.discounted_minor,
            ours.remaining_minor,
            ours.unclear,
            ours.currency.as_str(),
        );
        assert_eq!(found, expected, "{account}: {financing:?}");
    }
}

/// Payments less reversals, by the merchant's local date.
fn paid_by_date(truth: &ExpectedLedger) -> BTreeMap<NaiveDate, i64> {
    let mut by_date = BTreeMap::new();
    for financing in &truth.financings {
        for (date, minor) in &financing.paid_minor_on {
            *by_date.entry(*date).or_default() += minor;
        }
        for (date, minor) in &financing.reversed_minor_on {
            *by_date.entry(*date).or_default() -= minor;
        }
    }
    by_date
}

async fn expect_reports_are_true(
    app: &TestApp,
    account: &AccountId,
    truth: &ExpectedLedger,
    days: Days,
) {
    let by_date = paid_by_date(truth);
    let sum: i64 = by_date.values().sum();
    let zone = app.app.financings().locale(account).await.unwrap().time_zone;
    for per in [Granularity::Day, Granularity::Week, Granularity::Month] {
        let request = ReportRequest { days, granularity: per, zone, offer_id: None };
        let report = app.app.financings().report(account, &request).await.unwrap();
        let total: i64 = report.totals.iter().map(|line| line.paid_minor).sum();
        let discounted: i64 = report.totals.iter().map(|line| line.discounted_minor).sum();
        let over = truth.financings.iter().filter(|of| of.phase == FinancingPhase::FullyRepaid);
        assert_eq!(discounted, over.map(|of| of.discounted_minor).sum::<i64>(), "{account}");
        assert_eq!(total, sum, "{account}, per {per:?}");
        for line in &report.lines {
            assert_eq!(line.paid_minor, line.withheld_minor + line.paid_otherwise_minor);
            let expected = match per {
                Granularity::Day => by_date.get(&line.begins_on).copied().unwrap_or_default(),
                Granularity::Week => {
                    sum_between(&by_date, line.begins_on, line.begins_on + chrono::Days::new(7))
                }
                Granularity::Month => {
                    sum_between(&by_date, line.begins_on, line.begins_on + chrono::Months::new(1))
                }
            };
            assert_eq!(line.paid_minor, expected, "{account}, {} per {per:?}", line.begins_on);
        }
    }
}

fn sum_between(by_date: &BTreeMap<NaiveDate, i64>, from: NaiveDate, until: NaiveDate) -> i64 {
    by_date.range(from..until).map(|(_, minor)| minor).sum()
}

async fn expect_payouts_are_explained(
    app: &TestApp,
    account: &AccountId,
    truth: &ExpectedLedger,
    days: Days,
) {
    let explained = app.app.financings().payouts(account, days).await.unwrap();
    assert_eq!(explained.len(), truth.payouts.len(), "{account}");
    for payout in &truth.payouts {
        let line = explained.iter().find(|line| line.payout_id == payout.id).unwrap();
        let sums = &line.sums;
        let sold = sums.gross_sales_minor - sums.platform_fees_minor - sums.other_fees_minor;
        let found = (
            sums.paid_out_minor,
            sold,
            sums.refunds_minor,
            sums.advanced_minor,
            sums.withheld_minor,
        );
        let expected = (
            payout.amount_minor,
            payout.sold_minor,
            payout.refunded_minor,
            payout.advanced_minor,
            payout.paid_down_minor,
        );
        assert_eq!((found, sums.unexplained_minor), (expected, 0), "{account}: {line:?}");
    }
}

async fn play(db: PgPool, lives: std::ops::Range<u64>) {
    let app = TestApp::start(db).await;
    let (mut observation, mut canceled, mut discounted) = (0, 0, 0);
    for seed in lives {
        let mut dice = StdRng::seed_from_u64(seed);
        let first = app.clock.now().date_naive();
        let mut merchant = RandomMerchant::new(&app.stripe, &time_source(&app.clock), seed);
        merchant.run(dice.random_range(20..250));
        let account: AccountId = merchant.account().parse().unwrap();
        // Before or after its transactions: neither depends on the other.
        let offers_first = dice.random_bool(0.5);
        if offers_first {
            canceled += apply_offer_events(&app, account.as_str(), &mut dice).await;
        }
        observation += record_transactions(&app, account.as_str(), &mut dice).await;
        if !offers_first {
            canceled += apply_offer_events(&app, account.as_str(), &mut dice).await;
        }
        read_list(&app, &account).await;
        let truth = ExpectedLedger::of(&app.stripe, account.as_str());
        expect_ledger_is_true(&app, account.as_str(), &truth).await;
        let is_discounted = |of: &&ExpectedFinancing| of.discounted_minor > 0;
        discounted += truth.financings.iter().filter(is_discounted).count();
        let standing = app.app.financings().compare_summary(&account).await.unwrap();
        assert_eq!(standing.difference, None, "{account}, seed {seed}");
        let days = Days::new(
            first - chrono::Days::new(1),
            app.clock.now().date_naive() + chrono::Days::new(1),
        );
        expect_reports_are_true(&app, &account, &truth, days.unwrap()).await;
        if seed % 10 == 0 {
            let later = app.clock.now().date_naive() + chrono::Days::new(9);
            let days = Days::new(first - chrono::Days::new(1), later).unwrap();
            expect_payouts_are_explained(&app, &account, &truth, days).await;
        }
        app.stripe.clear_events();
    }
    assert!(observation > 0, "nothing ever moved");
    assert!(discounted > 0, "no refill gave a discount");
    assert!(canceled > 0, "no financing was canceled after its payout");
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn random_lives_agree_with_the_truth(db: PgPool) {
    play(db, 0..60).await;
}

/// Run it with `cargo nextest run --run-ignored only thousands_of_lives`. Each life advances the
/// clock by months, and time zone data does not cover centuries, so the clock is reset after a few
/// hundred.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
#[ignore = "many minutes"]
async fn thousands_of_lives_agree_with_the_truth(db: PgPool) {
    for seeds in (1_000..4_000).step_by(300) {
        play(db.clone(), seeds..seeds + 300).await;
        sqlx::raw_sql(
            "begin;
             set local courier.erasing = 'yes';
             truncate financing_transactions, refill_discounts, financing_summaries, account_locales,
                 payout_explanations, jobs, financing_offers, timeline_entries,
                 transaction_backfills cascade;
             commit",
        )
        .execute(&db)
        .await
        .unwrap();
    }
}
