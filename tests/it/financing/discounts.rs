//! The discount that a refill gives on the fee of the financing before it: it is counted once, as
//! what it is, and both financings end at exactly nothing.

use capital_courier::financing::BackfillRequests;
use capital_courier::financing::history::remaining;
use capital_courier::financing::ledger::{MovementFilter, Totals};
use capital_courier::financing::report::{Days, Granularity, ReportRequest};
use capital_courier::stripe::AccountId;
use chrono::TimeDelta;
use serde_json::Value;
use sqlx::PgPool;
use stripe_simulator::{Action, NewAccount, NewOffer, PaymentSource};

use crate::support::TestApp;
use crate::support::browser::Browser;

/// An account in `country` with a financing of which 22,000 remain, 2,000 of it fee, and a refill
/// with a discount of that part of the fee, which was paid out a day later. Returns the account,
/// the financing and the refill.
fn refilled(app: &TestApp, country: &str, rate: f64) -> (String, String, String) {
    let account = app.stripe.add_account(&NewAccount {
        name: Some("Acme".to_owned()),
        email: Some("owner@example.com".to_owned()),
        country: Some(country.to_owned()),
    });
    let pay_out = |offer: &str| {
        app.stripe.deliver(offer);
        for action in [Action::Apply, Action::Approve] {
            app.stripe.perform(action, offer).unwrap();
        }
    };
    let old = app.stripe.create_offer(&account, &NewOffer::default());
    pay_out(&old);
    app.clock.advance(TimeDelta::days(1));
    app.stripe.pay(&old, 88_000, PaymentSource::BankAccount).unwrap();
    let terms = NewOffer { fee_discount_rate: Some(rate), ..NewOffer::default() };
    let refill = app.stripe.create_refill(&account, &terms);
    pay_out(&refill);
    (account, old, refill)
}

/// Delivers all events of the account, and reads its transactions.
async fn tell(app: &TestApp, account: &str, is_backwards: bool) {
    let mut events = app.stripe.events();
    events.retain(|event| event["data"]["object"]["account"] == account);
    if is_backwards {
        events.reverse();
    }
    for event in &events {
        app.stripe_sends(event).await.expect_kept();
    }
    app.run_due_work().await;
    read(app, account).await;
}

async fn read(app: &TestApp, account: &str) {
    let mut tx = app.db.begin().await.unwrap();
    let request = BackfillRequests::now(&account.parse().unwrap());
    request.queue(&mut tx, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    app.app.read_transactions().await.unwrap();
}

async fn totals(app: &TestApp, account: &str) -> Vec<Totals> {
    app.app.financings().totals(&account.parse().unwrap()).await.unwrap()
}

fn of<'a>(totals: &'a [Totals], offer: &str) -> &'a Totals {
    totals.iter().find(|of| of.offer_id.as_deref() == Some(offer)).unwrap()
}

fn amounts(of: &Totals) -> (i64, i64, i64, i64) {
    (of.advanced_minor, of.paid_minor, of.discounted_minor, of.remaining_minor)
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_refill_that_settles_with_a_discount_leaves_nothing_in_any_order(db: PgPool) {
    let app = TestApp::start(db).await;
    for is_backwards in [false, true] {
        let (account, old, refill) = refilled(&app, "US", 0.25);
        tell(&app, &account, is_backwards).await;
        // Again: it is counted once.
        read(&app, &account).await;
        let found = totals(&app, &account).await;
        assert_eq!(amounts(of(&found, &old)), (110_000, 109_500, 500, 0), "{is_backwards}");
        assert_eq!(amounts(of(&found, &refill)), (110_000, 0, 0, 110_000));
        assert_eq!(remaining(&found)[0].remaining_minor, 110_000);
        let id: AccountId = account.parse().unwrap();
        let compared = app.app.financings().compare_summary(&id).await.unwrap();
        assert_eq!(compared.difference, None);
        app.stripe.clear_events();
    }
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_stacked_financing_with_a_discount_ends_at_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let (account, old, refill) = refilled(&app, "GB", 0.5);
    tell(&app, &account, true).await;
    // Stripe tells the amount only when the old financing is over.
    assert_eq!(amounts(of(&totals(&app, &account).await, &old)), (110_000, 88_000, 0, 22_000));
    app.clock.advance(TimeDelta::days(3));
    app.stripe.pay(&old, 21_000, PaymentSource::BankAccount).unwrap();
    app.stripe.clear_events();
    read(&app, &account).await;
    let found = totals(&app, &account).await;
    assert_eq!(amounts(of(&found, &old)), (110_000, 109_000, 1_000, 0));
    assert_eq!(of(&found, &refill).remaining_minor, 110_000);
    // It counts from the last payment, not from the refill's payout three days before: a statement
    // of the days between does not change.
    assert_eq!(of(&found, &old).last_at.timestamp(), app.clock.now().timestamp());
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_discount_of_all_that_remains_counts_from_the_refill(db: PgPool) {
    let app = TestApp::start(db).await;
    let (account, old, _) = refilled(&app, "US", 1.0);
    tell(&app, &account, false).await;
    assert_eq!(amounts(of(&totals(&app, &account).await, &old)), (110_000, 108_000, 2_000, 0));
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_refill_without_a_discount_is_asked_about_once_nothing_is_open(db: PgPool) {
    let app = TestApp::start(db).await;
    let (account, old, _) = refilled(&app, "US", 0.0);
    tell(&app, &account, false).await;
    assert_eq!(amounts(of(&totals(&app, &account).await, &old)), (110_000, 110_000, 0, 0));
    let recorded: i64 =
        app.one("select count(*) from refill_discounts where account_id = $1", &account).await;
    assert_eq!(recorded, 0);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_discount_is_a_line_of_its_own_everywhere(db: PgPool) {
    let app = TestApp::start(db).await;
    let (account, old, refill) = refilled(&app, "US", 0.25);
    tell(&app, &account, true).await;
    let id: AccountId = account.parse().unwrap();
    let financings = app.app.financings();
    let zone = financings.locale(&id).await.unwrap().time_zone;
    let today = app.clock.now().date_naive();
    let request = ReportRequest {
        days: Days::month_of(today),
        granularity: Granularity::Month,
        zone,
        offer_id: Some(&old),
    };
    let line = financings.report(&id, &request).await.unwrap().totals.remove(0);
    assert_eq!(
        (line.advanced_minor, line.paid_minor, line.discounted_minor),
        (110_000, 109_500, 500)
    );
    assert_eq!((line.transactions, line.delta_minor()), (3, 0));

    // The transactions with a running balance.
    let all = financings.movements(&id, &MovementFilter::default(), 100).await.unwrap();
    let discounts: Vec<_> = all.iter().filter(|entry| entry.effect == "discounted").collect();
    assert_eq!((all.len(), discounts.len()), (5, 1));
    let discount = discounts[0];
    assert_eq!((&discount.transaction_id, &discount.refill_offer_id), (&None, &Some(refill)));
    assert_eq!((discount.offer_id.as_deref(), discount.delta_minor()), (Some(&*old), -500));
    let balances = financings.balances(&id, &all[0].cursor(), Some(&old)).await.unwrap();
    assert_eq!(balances[0].remaining_minor, 0);
    // One page after the other lists each once.
    let mut listed = Vec::new();
    let mut filter = MovementFilter::default();
    while let [entry] = &financings.movements(&id, &filter, 1).await.unwrap()[..] {
        filter.after = Some(entry.cursor().to_string().parse().unwrap());
        listed.push(entry.entry_id.clone());
    }
    let entries: Vec<_> = all.iter().map(|entry| entry.entry_id.clone()).collect();
    assert_eq!(listed, entries);

    let browser = Browser::signed_in(&app, &account).await;
    let words = ["Discount on flat fee", "\u{2212}$5.00"];
    let of_old = format!("financing={old}");
    browser.open("/capital").await.expect_says(&words);
    browser.open("/capital/transactions?show=other").await.expect_says(&words);
    let statement = browser.open(&format!("/capital/statement?{of_old}")).await;
    statement.expect_says(&words);
    statement.expect_says(&["Remaining now</strong></dt><dd>$0.00"]);
    let csv = browser.open(&format!("/capital/statement.csv?{of_old}")).await;
    let table: Vec<&str> = csv.text.lines().collect();
    assert!(table[0].ends_with(",unclear,discounted"), "{}", csv.text);
    assert!(table.last().unwrap().ends_with(",5.00"), "{}", csv.text);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn stripes_failure_to_name_a_discount_is_tried_again(db: PgPool) {
    let app = TestApp::start(db).await;
    let (account, old, refill) = refilled(&app, "US", 0.25);
    let known = app.stripe.offer(&refill).unwrap();
    app.stripe.edit_offer(&refill, |offer| {
        offer["accepted_terms"]["previous_financing_fee_discount_amount"] = Value::Null;
    });
    tell(&app, &account, false).await;
    assert_eq!(amounts(of(&totals(&app, &account).await, &old)), (110_000, 109_500, 0, 500));
    app.stripe.edit_offer(&refill, |offer| *offer = known);
    // The next pass: the remainder keeps the account under way.
    app.clock.advance(TimeDelta::days(2));
    app.app.read_transactions().await.unwrap();
    assert_eq!(of(&totals(&app, &account).await, &old).remaining_minor, 0);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_end_of_a_stacked_financing_reads_its_discount_at_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let (account, old, _) = refilled(&app, "GB", 0.5);
    tell(&app, &account, false).await;
    app.stripe.clear_events();
    app.clock.advance(TimeDelta::hours(3));
    app.stripe.pay(&old, 21_000, PaymentSource::BankAccount).unwrap();
    for event in app.stripe.events() {
        app.stripe_sends(&event).await.expect_kept();
    }
    app.run_due_work().await;
    app.app.read_transactions().await.unwrap();
    assert_eq!(of(&totals(&app, &account).await, &old).remaining_minor, 0);
    app.abandon();
}
