//! The sums that are kept for accounts with very many movements are those of the view
//! `financing_ledger`, whatever arrives when.

use capital_courier::database::Cursor;
use capital_courier::financing::ledger::store::totals;
use capital_courier::financing::report::{Days, Granularity, ReportRequest};
use capital_courier::financing::{BackfillRequests, Coverage, ObservedTransaction, record_all};
use capital_courier::stripe::AccountId;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, Row};

use crate::support::{TestApp, day_one};

const ACCOUNTS: [&str; 2] = ["acct_1", "acct_2"];
const REASONS: [Option<&str>; 7] = [
    None,
    Some("automatic_withholding"),
    Some("automatic_withholding"),
    Some("automatic_withholding_refund"),
    Some("collection_failure"),
    Some("financing_cancellation"),
    Some("user_initiated"),
];

/// A transaction of one of the accounts, at any time of some days, that may reverse any of `count`.
fn random_transaction(dice: &mut StdRng, number: usize, count: usize) -> Value {
    let pick = |dice: &mut StdRng, from: &[&'static str]| *from.choose(dice).unwrap();
    let kind = pick(dice, &["payout", "payment", "payment", "reversal", "reversal", "adjustment"]);
    let amount: i64 = match dice.random_range(0..20) {
        0 => i64::MAX,
        1 => i64::MIN,
        2 => 1_000_000_000_000_000,
        3 => -dice.random_range(0..1_000),
        _ => dice.random_range(0..100_000),
    };
    let reversed = (kind == "reversal" && dice.random_bool(0.9))
        .then(|| format!("cptxn_{}", dice.random_range(0..count + 3)));
    let offer = [None, Some("financingoffer_1"), Some("financingoffer_2")];
    let (offer, reason) = (offer.choose(dice).unwrap(), REASONS.choose(dice).unwrap());
    json!({
        "id": format!("cptxn_{number}"), "object": "capital.financing_transaction",
        "account": pick(dice, &ACCOUNTS), "livemode": dice.random_bool(0.1),
        "created_at": day_one().timestamp() + dice.random_range(0..4 * 86_400) / 100 * 100,
        "financing_offer": offer,
        "type": kind, "user_facing_description": "Paydown of your loan",
        "details": {
            "advance_amount": 1, "fee_amount": 0, "total_amount": amount,
            "currency": pick(dice, &["usd", "usd", "eur"]), "reason": reason,
            "reversed_transaction": reversed,
        },
    })
}

async fn record(tx: &mut PgConnection, objects: &[Value]) {
    let parsed: Vec<_> = objects
        .iter()
        .map(|object| (serde_json::from_value(object.clone()).unwrap(), object.to_string()))
        .collect();
    let observed: Vec<_> = parsed
        .iter()
        .map(|(transaction, object)| ObservedTransaction { transaction, object })
        .collect();
    record_all(tx, &observed, day_one()).await.unwrap();
}

async fn insert_discount(db: &PgPool, account: &str, number: usize, at: DateTime<Utc>) {
    sqlx::query(
        "insert into refill_discounts (refill_offer_id, account_id, livemode, offer_id, currency,
             discount_minor, created_at, recorded_at)
         values ('financingoffer_refill' || $1, $2, false, 'financingoffer_1', 'usd', 500, $3, $3)",
    )
    .bind(i64::try_from(number).unwrap())
    .bind(account)
    .bind(at)
    .execute(db)
    .await
    .unwrap();
}

/// Covers an account until then, in small steps that `keep_sums` would not take.
async fn cover(db: &PgPool, account: &str, until: DateTime<Utc>) {
    sqlx::query(
        "with until as (select ledger_period(15, $2) as at),
         covered as (
             insert into ledger_coverage as kept (account_id, covered_until)
             select $1, at from until
             on conflict (account_id) do update
             set covered_until = greatest(kept.covered_until, excluded.covered_until)
         )
         select add_up_ledger($1, coalesce(
             (select covered_until from ledger_coverage where account_id = $1),
             ledger_period(1440, '2000-01-01')
         ), at) from until",
    )
    .bind(account)
    .bind(until)
    .execute(db)
    .await
    .unwrap();
}

/// Rows of a query about an account, as JSON.
async fn rows(db: &PgPool, sql: &'static str, account: &str, at: DateTime<Utc>) -> Vec<Value> {
    let rows = sqlx::query(sql).bind(account).bind(at).fetch_all(db).await.unwrap();
    rows.iter().map(|row| row.get::<Value, _>(0)).collect()
}

/// The totals by the view alone, in both modes.
async fn expect_totals(db: &PgPool, account: &str) {
    let sql = "
        select json_build_array(offer_id, currency, saturated_bigint(advanced),
            saturated_bigint(paid), saturated_bigint(withheld), saturated_bigint(discounted),
            saturated_bigint(advanced - paid - discounted), unclear,
            advanced <= 0 and has_taken_back, extract(epoch from first_at)::bigint,
            extract(epoch from last_at)::bigint)
        from (
            select offer_id, currency,
                coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0) as advanced,
                coalesce(sum(sign * total_minor) filter (where effect = 'paid'), 0) as paid,
                coalesce(sum(sign * total_minor)
                    filter (where effect = 'paid' and is_withholding), 0) as withheld,
                coalesce(sum(total_minor) filter (where effect = 'discounted'), 0) as discounted,
                count(*) filter (where effect = 'unclear') as unclear,
                bool_or(effect = 'advanced' and type = 'reversal') as has_taken_back,
                min(created_at) as first_at, max(created_at) as last_at
            from financing_ledger
            where account_id = $1 and $2 is not null
            group by offer_id, currency
        ) as sums
        order by first_at desc, offer_id, currency";
    let expected = rows(db, sql, account, day_one()).await;
    let found = totals(&mut db.acquire().await.unwrap(), account, None).await.unwrap();
    let found: Vec<Value> = found
        .iter()
        .map(|of| {
            json!([
                of.offer_id,
                of.currency,
                of.advanced_minor,
                of.paid_minor,
                of.withheld_minor,
                of.discounted_minor,
                of.remaining_minor,
                of.unclear,
                of.is_taken_back,
                of.first_at.timestamp(),
                of.last_at.timestamp(),
            ])
        })
        .collect();
    assert_eq!(found, expected, "{account}");
}

/// The balances after any moment, by the view alone, in the mode of the key.
async fn expect_balances(app: &TestApp, account: &str, at: DateTime<Utc>) {
    let sql = "
        select json_build_array(currency, saturated_bigint(
            coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0)
            - coalesce(sum(sign * total_minor)
                filter (where effect in ('paid', 'discounted')), 0)))
        from financing_ledger
        where account_id = $1 and not livemode and (created_at, transaction_id) <= ($2, 'cptxn_5')
            and offer_id = 'financingoffer_1'
        group by currency
        order by currency";
    let expected = rows(&app.db, sql, account, at).await;
    let id: AccountId = account.parse().unwrap();
    let cursor = Cursor { created_at: at, id: "cptxn_5" };
    let found =
        app.app.financings().balances(&id, &cursor, Some("financingoffer_1")).await.unwrap();
    let found: Vec<Value> =
        found.iter().map(|of| json!([of.currency, of.remaining_minor])).collect();
    assert_eq!(found, expected, "{account} at {at}");
}

/// A report by periods of a time zone, by the view alone, in the mode of the key.
async fn expect_report(app: &TestApp, account: &str, dice: &mut StdRng) {
    let zone = *[Tz::UTC, Tz::America__New_York, Tz::Asia__Kathmandu].choose(dice).unwrap();
    let granularity =
        *[Granularity::Day, Granularity::Week, Granularity::Month].choose(dice).unwrap();
    let first = day_one().date_naive() + chrono::Days::new(dice.random_range(0..4));
    let days = Days::new(first, first + chrono::Days::new(dice.random_range(0..4))).unwrap();
    let id: AccountId = account.parse().unwrap();
    let request = ReportRequest { days, granularity, zone, offer_id: None };
    let report = app.app.financings().report(&id, &request).await.unwrap();
    let sql = "
        select json_build_array(currency,
            coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0)::text,
            coalesce(sum(sign * total_minor)
                filter (where effect = 'paid' and is_withholding), 0)::text,
            coalesce(sum(sign * total_minor)
                filter (where effect = 'paid' and not is_withholding), 0)::text,
            count(*) filter (where effect in ('advanced', 'paid')),
            count(*) filter (where effect = 'unclear'),
            coalesce(sum(total_minor) filter (where effect = 'discounted'), 0)::text)
        from financing_ledger
        where account_id = $1 and not livemode and created_at >= $2
            and created_at < $2 + interval '1 minute' * $3
        group by currency
        order by currency";
    let (from, until) = (days.from(zone), days.until(zone));
    let expected = sqlx::query_scalar::<_, Value>(sql)
        .bind(account)
        .bind(from)
        .bind((until - from).num_minutes())
        .fetch_all(&app.db)
        .await
        .unwrap();
    let found: Vec<Value> = report
        .totals
        .iter()
        .map(|of| {
            json!([
                of.currency,
                of.advanced_minor.to_string(),
                of.withheld_minor.to_string(),
                of.paid_otherwise_minor.to_string(),
                of.transactions,
                of.unclear,
                of.discounted_minor.to_string(),
            ])
        })
        .collect();
    assert_eq!(found, expected, "{account}, {request:?}");
    for line in &report.lines {
        let begins = line.begins_on.max(days.first());
        let of_line = Days::new(begins, begins).unwrap();
        if granularity != Granularity::Day {
            continue;
        }
        let day = ReportRequest { days: of_line, granularity: Granularity::Month, ..request };
        let alone = app.app.financings().report(&id, &day).await.unwrap();
        let alone = alone.totals.iter().find(|of| of.currency == line.currency).unwrap();
        assert_eq!(alone.delta_minor(), line.delta_minor(), "{account}, {request:?}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn kept_sums_are_those_of_the_view_whatever_arrives_when(db: PgPool) {
    let app = TestApp::start(db).await;
    for seed in 0..2 {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut left: Vec<Value> =
            (0..600).map(|number| random_transaction(&mut dice, number, 600)).collect();
        left.shuffle(&mut dice);
        let some_time =
            |dice: &mut StdRng| day_one() + TimeDelta::seconds(dice.random_range(0..4 * 86_400));
        let mut step = 0;
        while !left.is_empty() {
            step += 1;
            let account = *ACCOUNTS.choose(&mut dice).unwrap();
            match dice.random_range(0..10) {
                0..5 => {
                    let batch = left.split_off(left.len().saturating_sub(dice.random_range(1..40)));
                    let mut tx = app.db.begin().await.unwrap();
                    record(&mut tx, &batch).await;
                    // What is rolled back changes nothing.
                    if dice.random_bool(0.1) {
                        tx.rollback().await.unwrap();
                        left.extend(batch);
                    } else {
                        tx.commit().await.unwrap();
                    }
                }
                5 => insert_discount(&app.db, account, step, some_time(&mut dice)).await,
                6..8 => cover(&app.db, account, some_time(&mut dice)).await,
                _ => {
                    expect_totals(&app.db, account).await;
                    expect_balances(&app, account, some_time(&mut dice)).await;
                    expect_report(&app, account, &mut dice).await;
                }
            }
        }
        for account in ACCOUNTS {
            cover(&app.db, account, day_one() + TimeDelta::days(3)).await;
            let covered: i64 =
                app.one("select count(*) from ledger_sums where account_id = $1", account).await;
            assert!(covered > 200, "only {covered} sums");
            for _ in 0..20 {
                expect_totals(&app.db, account).await;
                expect_balances(&app, account, some_time(&mut dice)).await;
                expect_report(&app, account, &mut dice).await;
            }
        }
        sqlx::raw_sql(
            "truncate financing_transactions, refill_discounts, ledger_sums, ledger_coverage",
        )
        .execute(&app.db)
        .await
        .unwrap();
    }
    app.abandon();
}

/// Payments of an account, one a minute, some of them reversed by the next.
fn payments(numbers: std::ops::Range<i64>) -> Vec<Value> {
    numbers
        .map(|number| {
            let is_reversal = number % 7 == 6;
            json!({
                "id": format!("cptxn_{number:05}"), "object": "capital.financing_transaction",
                "account": "acct_1", "livemode": false, "financing_offer": "financingoffer_1",
                "created_at": day_one().timestamp() - 60 * (20_000 - number),
                "type": if is_reversal { "reversal" } else { "payment" },
                "user_facing_description": "Paydown of your loan",
                "details": {
                    "advance_amount": 1_364, "fee_amount": 136, "total_amount": 1_500 + number,
                    "currency": "usd", "reason": "automatic_withholding",
                    "reversed_transaction":
                        is_reversal.then(|| format!("cptxn_{:05}", number - 1)),
                },
            })
        })
        .collect()
}

async fn covered_until(app: &TestApp) -> Option<DateTime<Utc>> {
    app.one("select max(covered_until) from ledger_coverage where account_id = $1", "acct_1").await
}

async fn commit(db: &PgPool, objects: &[Value]) {
    let mut tx = db.begin().await.unwrap();
    record(&mut tx, objects).await;
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn only_accounts_with_many_movements_have_sums(db: PgPool) {
    let app = TestApp::start(db).await;
    let account: AccountId = "acct_1".parse().unwrap();
    commit(&app.db, &payments(0..900)).await;
    assert_eq!(app.app.financings().keep_sums(&account).await.unwrap(), Coverage::Sufficient);
    assert_eq!(covered_until(&app).await, None);
    commit(&app.db, &payments(900..1_100)).await;
    // The backfill's pass adds them up.
    let mut tx = app.db.begin().await.unwrap();
    BackfillRequests::now(&account).queue(&mut tx, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    app.app.read_transactions().await.unwrap();
    let covered = covered_until(&app).await.unwrap();
    assert!(app.clock.now() - covered < TimeDelta::minutes(75), "covered until {covered}");
    // Few more are added up by each query.
    commit(&app.db, &payments(19_950..20_400)).await;
    assert_eq!(app.app.financings().keep_sums(&account).await.unwrap(), Coverage::Sufficient);
    expect_totals(&app.db, "acct_1").await;
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn nothing_is_covered_before_older_transactions_have_ended(db: PgPool) {
    let app = TestApp::start(db).await;
    let account: AccountId = "acct_1".parse().unwrap();
    commit(&app.db, &payments(1..1_500)).await;
    // It has looked for the coverage, and found none.
    let mut older = app.db.begin().await.unwrap();
    record(&mut older, &payments(0..1)).await;
    let meanwhile = async {
        let looks = "select exists (select from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid()
                         and query like '%virtualtransaction%pg_locks%'
                         and query not like '%pg_stat_activity%')";
        while !sqlx::query_scalar::<_, bool>(looks).fetch_one(&app.db).await.unwrap() {
            tokio::task::yield_now().await;
        }
        assert_eq!(covered_until(&app).await, None);
        older.commit().await.unwrap();
    };
    let both = async { tokio::join!(app.app.financings().keep_sums(&account), meanwhile) };
    let both = tokio::time::timeout(std::time::Duration::from_secs(30), both);
    let (kept, ()) = both.await.expect("it does not look for older transactions");
    assert_eq!(kept.unwrap(), Coverage::Extended);
    assert!(covered_until(&app).await.is_some());
    expect_totals(&app.db, "acct_1").await;
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn writers_beside_a_growing_coverage_keep_the_sums_true(db: PgPool) {
    let app = TestApp::start(db).await;
    let account: AccountId = "acct_1".parse().unwrap();
    let all = payments(0..3_000);
    let write = async |seed| {
        let mut dice = StdRng::seed_from_u64(seed);
        // Both writers store all of them, each in an order of its own.
        let mut mine = all.clone();
        mine.shuffle(&mut dice);
        for batch in mine.chunks(50) {
            commit(&app.db, batch).await;
        }
    };
    let writing = async { tokio::join!(write(1), write(2)) };
    let covering = async {
        while covered_until(&app).await.is_none_or(|at| app.clock.now() - at > TimeDelta::hours(2))
        {
            app.app.financings().keep_sums(&account).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writing, covering);
    let stored: i64 = app
        .one("select count(*) from financing_transactions where account_id = $1", "acct_1")
        .await;
    assert_eq!(stored, 3_000);
    let summed: i64 = app
        .one(
            "select sum(movements)::bigint from ledger_sums where account_id = $1 and minutes = 60",
            "acct_1",
        )
        .await;
    assert_eq!(summed, 3_000);
    expect_totals(&app.db, "acct_1").await;
    for hours in 0..24 {
        expect_balances(&app, "acct_1", day_one() - TimeDelta::minutes(20_000 - 125 * hours)).await;
    }
    app.abandon();
}
