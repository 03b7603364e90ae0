//! The backfill of an account's transactions: the whole list once, then new entries; no
//! interruption loses one.

use capital_courier::financing::summary::store::differing;
use capital_courier::financing::{self, BackfillRequests, record_all};
use capital_courier::queue;
use capital_courier::stripe::AccountId;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use stripe_simulator::{Action, Fault, FaultKind};

use crate::financing::ledger::{OFFER, TransactionEvent};
use crate::support::{TestApp, day_one};

/// A transaction of Stripe's list without an event.
fn listed(account: &str, number: usize) -> Value {
    let id = format!("cptxn_{number:04}");
    let transaction = TransactionEvent {
        id: &id,
        offer: OFFER,
        kind: "payment",
        reason: Some("automatic_withholding"),
        total: 100,
        reverses: None,
    };
    let mut object = transaction.event(account)["data"]["object"].clone();
    // One per hour; number 300 is dated the first day.
    object["created_at"] =
        json!((day_one() - TimeDelta::hours(300 - i64::try_from(number).unwrap())).timestamp());
    object
}

fn listed_at(account: &str, number: usize, at: DateTime<Utc>) -> Value {
    let mut object = listed(account, number);
    object["created_at"] = json!(at.timestamp());
    object
}

fn not_found(path: &'static str) -> Fault {
    let kind = FaultKind::Error { status: 404, code: "", headers: Vec::new() };
    Fault { method: "GET", path, times: 1, kind }
}

async fn kept(app: &TestApp) -> i64 {
    sqlx::query_scalar("select count(*) from financing_transactions")
        .fetch_one(&app.db)
        .await
        .unwrap()
}

/// A refill to an account whose list already has this many transactions.
async fn account_with_history(app: &TestApp, transactions: usize) -> (String, String) {
    account_with_history_of(app, transactions, |_, _| {}).await
}

/// As [`account_with_history`], with changes to some of the transactions.
async fn account_with_history_of(
    app: &TestApp,
    transactions: usize,
    odd: impl Fn(usize, &mut Value),
) -> (String, String) {
    let offer = app.offer();
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    for number in 0..transactions {
        let mut object = listed(&account, number);
        odd(number, &mut object);
        app.stripe.add_transaction(&account, object);
    }
    app.stripe_sends(&refill(app, &offer)).await.expect_kept();
    app.run_due_work().await;
    (offer, account)
}

/// The event that announces the offer as a refill, which shows an earlier financing.
fn refill(app: &TestApp, offer: &str) -> Value {
    let mut event = app.created(offer);
    event["data"]["object"]["product_type"] = json!("refill");
    event
}

/// The state that a killed process leaves after the first page of 250.
async fn interrupted_after_first_page(app: &TestApp, account: &str) {
    let now = app.clock.now();
    sqlx::query(
        "insert into transaction_backfills
             (account_id, livemode, started_at, after_transaction_id, changed_at)
         values ($1, false, $2, 'cptxn_0150', $2)",
    )
    .bind(account)
    .bind(now)
    .execute(&app.db)
    .await
    .unwrap();
}

/// Starts a financing of the offer and delivers its event.
async fn begin(app: &TestApp, offer: &str) {
    for button in [Action::Apply, Action::Approve] {
        app.stripe.perform(button, offer).unwrap();
    }
    app.stripe_sends(&app.event(offer, "capital.financing_offer.paid_out")).await.expect_kept();
    app.run_due_work().await;
}

/// An event of a payment that Stripe's list lacks, so that our totals differ.
async fn receive_unlisted_transaction(app: &TestApp, offer: &str, account: &str) {
    let odd = TransactionEvent {
        id: "cptxn_odd",
        offer: Some(offer),
        kind: "payment",
        reason: None,
        total: 500,
        reverses: None,
    };
    app.stripe_sends(&odd.event(account)).await.expect_kept();
    app.run_due_work().await;
}

async fn read(app: &TestApp) {
    app.app.read_transactions().await.unwrap();
}

async fn is_complete(app: &TestApp, account: &str) -> bool {
    app.one(
        "select completed_at is not null from transaction_backfills where account_id = $1",
        account,
    )
    .await
}

async fn unreadable(app: &TestApp, account: &str) -> i32 {
    app.one("select unreadable from transaction_backfills where account_id = $1", account).await
}

async fn knows(app: &TestApp, id: &str) -> bool {
    app.one("select count(*) > 0 from financing_transactions where transaction_id = $1", id).await
}

/// Deletes transactions, as if neither an event nor the list had reported them.
async fn lose(app: &TestApp, ids: &str) {
    sqlx::query("delete from financing_transactions where transaction_id like $1 or type = $1")
        .bind(ids)
        .execute(&app.db)
        .await
        .unwrap();
}

/// The number of accounts that differ, however short the time.
async fn differing_ever(app: &TestApp) -> i64 {
    differing(&app.db, app.clock.now() + TimeDelta::days(1)).await.unwrap()
}

/// Stores a transaction of Stripe's list, as the inbox does.
async fn keep(tx: &mut PgConnection, account: &str, number: usize) {
    let object = listed(account, number);
    let (transaction, object) =
        (&serde_json::from_value(object.clone()).unwrap(), &object.to_string());
    let observed = [financing::ObservedTransaction { transaction, object }];
    record_all(tx, &observed, day_one()).await.unwrap();
}

/// Returns once a connection waits for a lock of another.
async fn wait_for_blocked_lock(db: &PgPool) {
    let waiting = async {
        let waits = "select exists (select from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(db).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), waiting)
        .await
        .expect("nobody waits for a lock");
}

async fn expect_no_error(app: &TestApp) {
    let error: Option<String> =
        app.one("select last_error from jobs where kind = $1", "backfill_transactions").await;
    assert_eq!(error, None);
}

fn list_calls(app: &TestApp) -> usize {
    app.stripe
        .requests()
        .iter()
        .filter(|call| call.path.ends_with("/financing_transactions"))
        .count()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_whole_history_is_read_after_the_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = account_with_history(&app, 250).await;
    read(&app).await;
    assert_eq!((kept(&app).await, list_calls(&app)), (0, 0), "letters come first");
    app.clock.advance(TimeDelta::minutes(6));
    read(&app).await;
    assert_eq!((kept(&app).await, list_calls(&app)), (250, 3));
    let calls = app.stripe.requests();
    let call = calls.iter().find(|call| call.path.ends_with("/financing_transactions")).unwrap();
    assert_eq!(call.stripe_account.as_deref(), Some(account.as_str()));
    // No financing is under way, so no further pass is scheduled.
    app.clock.advance(TimeDelta::days(3));
    read(&app).await;
    assert_eq!(list_calls(&app), 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_interrupted_pass_resumes_after_the_last_page(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = account_with_history(&app, 250).await;
    app.clock.advance(TimeDelta::minutes(6));
    interrupted_after_first_page(&app, &account).await;
    read(&app).await;
    assert_eq!((kept(&app).await, list_calls(&app)), (150, 2), "no page twice");
    assert!(is_complete(&app, &account).await);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_running_financing_is_read_daily_back_to_the_last_pass(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = account_with_history(&app, 250).await;
    app.clock.advance(TimeDelta::minutes(6));
    read(&app).await;
    begin(&app, &offer).await;
    read(&app).await;
    assert_eq!(
        (kept(&app).await, list_calls(&app)),
        (251, 4),
        "at once, for a new financing: one page spans more than two days and has the payout"
    );
    app.stripe.add_transaction(&account, listed(&account, 250));
    let mut odd = listed(&account, 251);
    odd["details"] = json!("none");
    app.stripe.add_transaction(&account, odd);
    app.clock.advance(TimeDelta::hours(25));
    read(&app).await;
    assert_eq!((kept(&app).await, list_calls(&app)), (252, 5));
    assert_eq!(unreadable(&app, &account).await, 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_pass_after_an_interruption_finds_newer_entries(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = account_with_history(&app, 250).await;
    app.clock.advance(TimeDelta::minutes(6));
    interrupted_after_first_page(&app, &account).await;
    // Ten days without a worker or an event.
    for number in 0..250 {
        let at = app.clock.now() + TimeDelta::minutes(57) * i32::try_from(number).unwrap();
        app.stripe.add_transaction(&account, listed_at(&account, 1_000 + number, at));
    }
    app.clock.advance(TimeDelta::days(10));
    read(&app).await;
    for number in 1_000..1_250 {
        let id = format!("cptxn_{number:04}");
        assert!(knows(&app, &id).await, "{id} is missing");
    }
    assert!(is_complete(&app, &account).await);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_difference_causes_a_full_pass_that_resolves_it(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = account_with_history(&app, 250).await;
    begin(&app, &offer).await;
    read(&app).await;
    for number in 0..150 {
        let at = app.clock.now() + TimeDelta::hours(number);
        app.stripe.add_transaction(
            &account,
            listed_at(&account, 1_000 + usize::try_from(number).unwrap(), at),
        );
    }
    app.clock.advance(TimeDelta::days(7));
    read(&app).await;
    assert_eq!((kept(&app).await, differing_ever(&app).await), (401, 0));
    for lost in ["payout", "cptxn_0010"] {
        lose(&app, lost).await;
    }
    app.clock.advance(TimeDelta::minutes(2));
    let id: AccountId = account.parse().unwrap();
    let standing = app.app.financings().compare_summary(&id).await.unwrap();
    assert!(standing.difference.is_some());
    assert_eq!(differing_ever(&app).await, 1);

    let before = list_calls(&app);
    read(&app).await;
    assert_eq!(
        list_calls(&app) - before,
        1 + 5,
        "the newest, and as that did not tell, all of it, once"
    );
    assert_eq!((kept(&app).await, differing_ever(&app).await), (401, 0), "and nobody looked");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_difference_is_detected_and_cleared_without_a_query(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = account_with_history(&app, 3).await;
    begin(&app, &offer).await;
    receive_unlisted_transaction(&app, &offer, &account).await;
    let before = list_calls(&app);
    read(&app).await;
    assert_eq!(differing_ever(&app).await, 1);
    assert_eq!(list_calls(&app) - before, 2, "once more for the difference");
    app.clock.advance(TimeDelta::hours(25));
    read(&app).await;
    assert_eq!(list_calls(&app) - before, 3, "no more for one that is known");

    lose(&app, "cptxn_odd").await;
    app.clock.advance(TimeDelta::hours(25));
    read(&app).await;
    assert_eq!(differing_ever(&app).await, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_disconnected_account_no_longer_differs(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = account_with_history(&app, 3).await;
    begin(&app, &offer).await;
    receive_unlisted_transaction(&app, &offer, &account).await;
    read(&app).await;
    assert_eq!(differing_ever(&app).await, 1);
    for path in ["financing_transactions", "financing_summary"] {
        app.stripe.inject(not_found(path));
    }
    app.clock.advance(TimeDelta::hours(25));
    read(&app).await;
    assert_eq!(differing_ever(&app).await, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_account_first_seen_in_a_transaction_is_read_in_full_and_daily(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    app.stripe.deliver(&offer);
    for button in [Action::Apply, Action::Approve] {
        app.stripe.perform(button, &offer).unwrap();
    }
    for number in 0..20 {
        app.stripe.add_transaction(&account, listed(&account, number));
    }
    let transaction = TransactionEvent {
        id: "cptxn_told",
        offer: Some(&offer),
        kind: "payment",
        reason: None,
        total: 100,
        reverses: None,
    };
    app.stripe_sends(&transaction.event(&account)).await.expect_kept();
    app.run_due_work().await;
    app.clock.advance(TimeDelta::minutes(6));
    read(&app).await;
    assert_eq!(kept(&app).await, 22, "with the payout");
    // No offer is known, but an open balance means that more transactions follow.
    app.stripe.add_transaction(&account, listed_at(&account, 20, app.clock.now()));
    app.clock.advance(TimeDelta::hours(25));
    read(&app).await;
    assert!(knows(&app, "cptxn_0020").await);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_account_unknown_to_stripe_counts_as_unread(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = account_with_history(&app, 250).await;
    app.stripe.inject(not_found("financing_transactions"));
    app.clock.advance(TimeDelta::days(12));
    read(&app).await;
    assert_eq!((list_calls(&app), is_complete(&app, &account).await), (1, false), "asked once");
    begin(&app, &offer).await;
    read(&app).await;
    assert_eq!((kept(&app).await, is_complete(&app, &account).await), (251, true));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unreadable_page_does_not_hide_the_next(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = account_with_history_of(&app, 250, |number, object| {
        if number >= 150 {
            object["details"]["total_amount"] = json!(1.5);
        }
    })
    .await;
    app.clock.advance(TimeDelta::minutes(6));
    for day in 1..=2 {
        read(&app).await;
        assert_eq!((kept(&app).await, list_calls(&app)), (150, 3 * day), "day {day}");
        assert_eq!(
            (unreadable(&app, &account).await, is_complete(&app, &account).await),
            (100, false)
        );
        app.clock.advance(TimeDelta::hours(25));
    }
    assert_eq!(financing::unreadable(&app.db).await.unwrap(), 100);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_entry_that_the_database_rejects_is_skipped_alone(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = account_with_history_of(&app, 51, |number, object| {
        if number == 25 {
            object["details"]["reason"] = json!("x\u{0}y");
        }
    })
    .await;
    app.clock.advance(TimeDelta::minutes(6));
    read(&app).await;
    assert_eq!((kept(&app).await, unreadable(&app, &account).await), (50, 1));
    expect_no_error(&app).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_backfill_and_the_inbox_do_not_deadlock(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = account_with_history(&app, 3).await;
    app.clock.advance(TimeDelta::minutes(6));
    let mut inbox = app.db.begin().await.unwrap();
    keep(&mut inbox, &account, 0).await;
    let meanwhile = async {
        wait_for_blocked_lock(&app.db).await;
        for number in 1..3 {
            keep(&mut inbox, &account, number).await;
        }
        inbox.commit().await.unwrap();
    };
    tokio::join!(read(&app), meanwhile);
    assert_eq!(kept(&app).await, 3);
    expect_no_error(&app).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn two_inbox_readers_queue_the_same_backfills_without_deadlock(db: PgPool) {
    let app = TestApp::start(db).await;
    let mut accounts = Vec::new();
    let mut offers = [app.offer(), app.offer()];
    offers.sort();
    for offer in &offers {
        accounts.push(app.stripe.offer(offer).unwrap()["account"].as_str().unwrap().to_owned());
    }
    // By offer id, the accounts come in reverse order.
    accounts.sort();
    for (offer, account) in offers.iter().zip(accounts.iter().rev()) {
        app.stripe.edit_offer(offer, |object| object["account"] = json!(account));
        let mut event = refill(&app, offer);
        event["data"]["object"]["account"] = json!(account);
        app.stripe_sends(&event).await.expect_kept();
    }
    let mut other = app.db.begin().await.unwrap();
    queue::enqueue(&mut *other, "backfill_transactions", &accounts[0], app.clock.now())
        .await
        .unwrap();
    let meanwhile = async {
        wait_for_blocked_lock(&app.db).await;
        queue::enqueue(&mut *other, "backfill_transactions", &accounts[1], app.clock.now())
            .await
            .unwrap();
        other.commit().await.unwrap();
    };
    let (read, ()) = tokio::join!(app.app.read_inbox(), meanwhile);
    assert_eq!(read.unwrap(), 2);
    app.run_due_work().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_difference_seen_during_a_pass_is_resolved_by_it(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = account_with_history(&app, 250).await;
    begin(&app, &offer).await;
    read(&app).await;
    lose(&app, "payout").await;
    app.clock.advance(TimeDelta::hours(25));
    app.stripe.add_transaction(&account, listed(&account, 300));
    let before = list_calls(&app);
    // Storing the page blocks on a concurrent insert of one of its transactions.
    let mut holder = app.db.begin().await.unwrap();
    keep(&mut holder, &account, 300).await;
    let id: AccountId = account.parse().unwrap();
    let meanwhile = async {
        wait_for_blocked_lock(&app.db).await;
        let standing = app.app.financings().compare_summary(&id).await.unwrap();
        assert!(standing.difference.is_some());
        holder.commit().await.unwrap();
    };
    tokio::join!(read(&app), meanwhile);
    assert_eq!(list_calls(&app) - before, 1, "the newest page has it");
    assert_eq!(differing_ever(&app).await, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_disconnected_accounts_list_is_no_error(db: PgPool) {
    let app = TestApp::start(db).await;
    account_with_history(&app, 3).await;
    let kind = FaultKind::Error { status: 403, code: "account_invalid", headers: Vec::new() };
    app.stripe.inject(Fault { method: "GET", path: "financing_transactions", times: 1, kind });
    app.clock.advance(TimeDelta::hours(1));
    read(&app).await;
    let (state, error): (String, Option<String>) =
        sqlx::query_as("select state, last_error from jobs where kind = 'backfill_transactions'")
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert_eq!((state.as_str(), error, kept(&app).await), ("done", None, 0));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn progress_in_test_mode_does_not_count_in_live_mode(db: PgPool) {
    let app = TestApp::start_with(db, &[("STRIPE_API_KEY", "sk_live_courier")]).await;
    let offer = app.offer();
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    let (now, key) = (app.clock.now(), format!("backfill_transactions:{account}"));
    sqlx::query(
        "insert into transaction_backfills (account_id, livemode, completed_at, changed_at)
         values ($1, false, $2, $2)",
    )
    .bind(&account)
    .bind(now)
    .execute(&app.db)
    .await
    .unwrap();
    sqlx::query(
        "insert into jobs (kind, subject, key, state, due_at, queued_at, finished_at)
         values ('backfill_transactions', $1, $2, 'done', $3, $3, $3)",
    )
    .bind(&account)
    .bind(key)
    .bind(now)
    .execute(&app.db)
    .await
    .unwrap();
    for number in 0..250 {
        app.stripe.add_transaction(&account, listed(&account, number));
    }
    let mut tx = app.db.begin().await.unwrap();
    BackfillRequests::first_seen(&account.parse().unwrap(), true)
        .queue(&mut tx, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    app.clock.advance(TimeDelta::minutes(6));
    read(&app).await;
    assert_eq!((kept(&app).await, is_complete(&app, &account).await), (250, true));
    // A complete account is not read again for another event.
    let mut tx = app.db.begin().await.unwrap();
    BackfillRequests::first_seen(&account.parse().unwrap(), true)
        .queue(&mut tx, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    app.clock.advance(TimeDelta::minutes(6));
    let before = list_calls(&app);
    read(&app).await;
    assert_eq!(list_calls(&app), before);
    app.abandon();
}
