//! The API's endpoints about financings and links, with a stub of Stripe.

use capital_courier::web::api::Scope;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::Action;

use crate::support::stripe::{Stub, list, refusal};
use crate::support::{TestApp, day_one};
use crate::web::api::{Answer, call, key};

/// The service with an API key and a stub of Stripe.
pub struct Bench {
    pub app: TestApp,
    pub stub: Stub,
    pub key: String,
}

const SCOPES: [Scope; 2] = [Scope::FinancingsRead, Scope::LinksWrite];

impl Bench {
    pub async fn start(db: PgPool, settings: &[(&str, &str)]) -> Self {
        let (stub, url) = Stub::start().await;
        let mut all = vec![("COURIER_STRIPE__API_BASE", url.as_str())];
        all.extend(settings);
        let app = TestApp::start_with(db, &all).await;
        let key = key(&app, &SCOPES).await;
        Self { app, stub, key }
    }

    pub async fn get(&self, path: &str) -> Answer {
        call(&self.app, &self.key, "GET", &format!("/api/v1/accounts/acct_1/{path}"), "").await
    }

    pub async fn link(&self, body: &str) -> Answer {
        call(&self.app, &self.key, "POST", "/api/v1/accounts/acct_1/links", body).await
    }
}

/// A transaction of `acct_1`.
struct Transfer<'a> {
    id: &'a str,
    kind: &'a str,
    reason: Option<&'a str>,
    total: i64,
    /// Hours after the start of the first day.
    hours: i64,
}

/// Sends the event of a transaction and applies it.
async fn record(app: &TestApp, transfer: &Transfer<'_>) {
    let event = json!({
        "id": format!("evt_{}", transfer.id), "object": "event",
        "type": "capital.financing_transaction.created",
        "created": day_one().timestamp(), "livemode": false,
        "data": {"object": {
            "id": transfer.id, "object": "capital.financing_transaction", "account": "acct_1",
            "created_at": (day_one() + TimeDelta::hours(transfer.hours)).timestamp(),
            "livemode": false, "financing_offer": "financingoffer_1", "type": transfer.kind,
            "details": {
                "advance_amount": transfer.total, "fee_amount": 0, "total_amount": transfer.total,
                "currency": "usd", "reason": transfer.reason,
                "transaction": {"charge": transfer.reason.map(|_| "py_1")},
            },
        }},
    });
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
}

/// An advance, and a withheld share of sales on each of the following days.
async fn record_financing(app: &TestApp, shares: i64) {
    let advance =
        Transfer { id: "cptxn_0", kind: "payout", reason: None, total: 110_000, hours: 0 };
    record(app, &advance).await;
    for number in 1..=shares {
        let id = format!("cptxn_{number}");
        let reason = Some("automatic_withholding");
        let hours = 24 * number;
        let share = Transfer { id: &id, kind: "payment", reason, total: 1_500, hours };
        record(app, &share).await;
    }
}

fn account_in(zone: &str) -> Value {
    json!({
        "id": "acct_1", "object": "account", "country": "US",
        "settings": {"dashboard": {"timezone": zone}},
    })
}

fn ids(page: &Value, name: &str) -> Vec<String> {
    page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row[name].as_str().unwrap().to_owned())
        .collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn offers_are_listed_with_terms_letter_and_timeline(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::FinancingsRead]).await;
    let offer = app.offer();
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    for button in [Action::Apply, Action::Approve] {
        app.stripe.perform(button, &offer).unwrap();
    }
    app.stripe_sends(&app.event(&offer, "capital.financing_offer.paid_out")).await.expect_kept();
    app.run_due_work().await;

    let path = format!("/api/v1/accounts/{account}/offers");
    let answer = call(&app, &key, "GET", &path, "").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let page = answer.expect(200);
    let listed = &page["data"][0];
    assert_eq!((&listed["offer_id"], &listed["status"]), (&json!(offer), &json!("paid_out")));
    assert_eq!(listed["letter"]["state"], "sent");
    assert_eq!(listed["offered_terms"]["currency"], "usd");
    assert!(listed["offered_terms"]["advance_minor"].as_i64().unwrap() > 0, "{listed}");
    assert!(
        listed["expires_at"].is_string() && listed["replacement_offer_id"].is_null(),
        "{listed}"
    );
    assert_eq!(page["next_cursor"], Value::Null);

    let timeline = format!("{path}/{offer}/timeline");
    let whole = call(&app, &key, "GET", &timeline, "").await.expect(200);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            call(&app, &key, "GET", &format!("{timeline}?limit=2{cursor}"), "").await.expect(200);
        seen.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(Value::from(seen.clone()), whole["data"]);
    let kinds: Vec<&str> = seen.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(app.timeline(&offer).await, kinds);
    let foreign = format!("/api/v1/accounts/acct_other/offers/{offer}/timeline");
    call(&app, &key, "GET", &foreign, "").await.expect_refused(404, "not_found");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn offer_and_transaction_pages_list_each_entry_once(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    sqlx::query(
        "insert into financing_offers (offer_id, account_id, livemode, status, object, created_at,
             first_seen_at, object_as_of)
         select 'financingoffer_' || n, 'acct_1', false, 'delivered',
             '{\"accepted_terms\": {\"currency\": \"usd\", \"advance_amount\": 7, \"fee_amount\": 1,
                 \"withhold_rate\": 0.1}}',
             '2026-11-24T12:00:00Z'::timestamptz + (n / 3) * interval '1 second', now(), now()
         from generate_series(0, 9) as n",
    )
    .execute(&bench.app.db)
    .await
    .unwrap();
    record_financing(&bench.app, 7).await;
    for (list, name, count) in [("offers", "offer_id", 10), ("transactions", "transaction_id", 8)] {
        let whole = bench.get(list).await.expect(200);
        let all = ids(&whole, name);
        assert_eq!(all.len(), count);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = bench.get(&format!("{list}?limit=3{cursor}")).await.expect(200);
            seen.extend(ids(&page, name));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, all);
        let other_account =
            call(&bench.app, &bench.key, "GET", &format!("/api/v1/accounts/acct_2/{list}"), "")
                .await;
        assert_eq!(other_account.expect(200), json!({"data": [], "next_cursor": null}));
    }
    let first = bench.get("offers?limit=1").await.expect(200);
    assert_eq!(
        first["data"][0]["accepted_terms"],
        json!({"currency": "usd", "advance_minor": 7, "fee_minor": 1, "withhold_rate": 0.1})
    );
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn transactions_are_filtered_by_type_financing_and_time(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    bench.stub.answer("/v1/accounts/acct_1", 200, account_in("Pacific/Auckland"));
    record_financing(&bench.app, 3).await;
    let found = async |query: &str| {
        let page = bench.get(&format!("transactions?{query}")).await.expect(200);
        ids(&page, "transaction_id").join(" ")
    };
    assert_eq!(found("type=payout").await, "cptxn_0");
    assert_eq!(found("type=reversal").await, "");
    assert_eq!(found("offer=financingoffer_1&limit=2").await, "cptxn_3 cptxn_2");
    assert_eq!(found("offer=financingoffer_2").await, "");
    assert_eq!(found("from=2026-11-25T12:00:00Z&until=2026-11-26T12:00:00Z").await, "cptxn_1");
    assert_eq!(
        found("from=2026-11-25T13:00:00%2B01:00&until=2026-11-25T12:00:01Z").await,
        "cptxn_1"
    );
    // 12:00 UTC is 01:00 of the next day in Auckland.
    assert_eq!(found("from=2026-11-26&until=2026-11-27").await, "cptxn_2 cptxn_1");
    let page = bench.get("transactions?type=payment&limit=1").await.expect(200);
    let row = &page["data"][0];
    assert_eq!(
        (&row["total_minor"], &row["currency"], &row["effect"]),
        (&json!(1_500), &json!("usd"), &json!("paid"))
    );
    assert_eq!((&row["is_withholding"], &row["charge_id"]), (&json!(true), &json!("py_1")));
    for (query, code) in [
        ("type=paydown", "bad_query"),
        ("offer=acct_1", "bad_query"),
        ("from=yesterday", "bad_query"),
        ("cursor=", "bad_query"),
        ("cursor=%00", "bad_query"),
        ("cursor=1795532400000000.acct_1", "bad_query"),
        ("limit=0", "bad_query"),
        ("limit=5&limit=6", "bad_query"),
        ("from=2026-11-26&until=2026-11-25", "bad_period"),
        ("from=2026-11-26T00:00:00Z&until=2026-11-25T00:00:00Z", "bad_period"),
        ("from=0001-01-01", "bad_period"),
    ] {
        bench.get(&format!("transactions?{query}")).await.expect_refused(400, code);
    }
    for (query, part) in [
        ("limit=many", "limit: invalid digit"),
        ("limit=1001", "limit must be from 1 to 1000"),
        ("from=yesterday", "from: neither a date (2026-11-01) nor"),
        ("per=day", "unknown field `per`, expected one of"),
        ("cursor=7", "cursor is not a next_cursor of this list"),
        ("from=2026-11-26&until=2026-11-25", "it ends before it begins"),
    ] {
        let refusal = bench.get(&format!("transactions?{query}")).await;
        let message = refusal.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{query}: {message}");
    }
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_sale_behind_a_withheld_share_is_fetched_once(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    record_financing(&bench.app, 1).await;
    bench.stub.answer("/v1/charges/py_1", 500, json!({}));
    bench.get("transactions/cptxn_1/origin").await.expect_refused(503, "stripe_unavailable");
    bench.stub.answer("/v1/charges/py_1", 200, json!({"id": "py_1", "source_transfer": "tr_1"}));
    bench.stub.answer(
        "/v1/transfers/tr_1",
        200,
        json!({"id": "tr_1", "source_transaction": "ch_1"}),
    );
    for _ in 0..2 {
        let origin = bench.get("transactions/cptxn_1/origin").await.expect(200);
        let expected = json!({
            "transaction_id": "cptxn_1", "charge_id": "py_1", "transfer_id": "tr_1",
            "source_charge_id": "ch_1",
        });
        assert_eq!(origin, expected);
    }
    let asked: Vec<_> = bench.stub.asked().into_iter().map(|asked| asked.path_and_query).collect();
    // The transactions name an offer that is unknown here.
    let offer = "/v1/capital/financing_offers/financingoffer_1";
    assert_eq!(asked, [offer, "/v1/charges/py_1", "/v1/charges/py_1", "/v1/transfers/tr_1"]);
    let payout = bench.get("transactions/cptxn_0/origin").await.expect(200);
    assert_eq!(payout["charge_id"], Value::Null);
    for unknown in ["cptxn_9", "txn_1", "%ff"] {
        bench.get(&format!("transactions/{unknown}/origin")).await.expect_refused(404, "not_found");
    }
    bench.app.finish().await;
}

fn summary(paid: i64) -> Value {
    json!({
        "object": "capital.financing_summary", "status": "accepted",
        "financing_offer": "financingoffer_1",
        "details": {
            "advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": paid,
            "remaining_amount": 110_000 - paid, "currency": "usd", "withhold_rate": 0.15,
            "advance_paid_out_at": 1_700_000_000, "repayments_begin_at": 1_700_100_000,
            "total_due_amount": 110_000, "overdue_amount": 700,
            "current_repayment_interval": {
                "starts_at": 1_700_000_000, "due_at": 1_705_000_000, "paid_amount": 0,
                "remaining_amount": 5_000,
            },
        },
    })
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_summary_shows_stripe_ledger_and_difference(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    record_financing(&bench.app, 2).await;
    let unknown = "/api/v1/accounts/acct_2/summary";
    call(&bench.app, &bench.key, "GET", unknown, "").await.expect_refused(404, "not_found");
    bench.stub.answer("/v1/capital/financing_summary", 200, summary(3_000));
    let summarized = bench.get("summary").await.expect(200);
    let financing = &summarized["financing"];
    assert_eq!(
        (&summarized["account"], &summarized["offer_id"]),
        (&json!("acct_1"), &json!("financingoffer_1"))
    );
    assert_eq!(
        (&summarized["status"], &summarized["is_current"]),
        (&json!("accepted"), &json!(true))
    );
    assert_eq!(
        (&financing["paid_minor"], &financing["remaining_minor"], &financing["currency"]),
        (&json!(3_000), &json!(107_000), &json!("usd"))
    );
    assert_eq!(
        (&financing["total_due_minor"], &financing["overdue_minor"]),
        (&json!(110_000), &json!(700))
    );
    assert_eq!(
        financing["current_period"],
        json!({
            "starts_at": "2023-11-14T22:13:20Z", "due_at": "2024-01-11T19:06:40Z",
            "paid_minor": 0, "remaining_minor": 5_000,
        })
    );
    assert_eq!(summarized["ledger"][0]["remaining_minor"], 107_000);
    assert_eq!(summarized["difference"], Value::Null);
    assert_eq!(bench.stub.asked().last().unwrap().stripe_account.as_deref(), Some("acct_1"));

    bench.app.clock.advance(TimeDelta::minutes(2));
    bench.stub.answer("/v1/capital/financing_summary", 200, summary(4_500));
    let unread = bench.get("summary").await.expect(200);
    assert_eq!(unread["difference"], Value::Null, "before the transactions were read once");
    sqlx::query(
        "insert into transaction_backfills (account_id, livemode, completed_at, changed_at)
         values ('acct_1', false, $1, $1)
         on conflict (account_id) do update set completed_at = $1",
    )
    .bind(bench.app.clock.now())
    .execute(&bench.app.db)
    .await
    .unwrap();
    let differs = bench.get("summary").await.expect(200);
    assert_eq!(
        differs["difference"],
        json!({
            "currency": "usd", "advanced_minor": 0, "paid_minor": -1_500, "remaining_minor": 1_500,
        })
    );
    bench.app.clock.advance(TimeDelta::minutes(2));
    bench.stub.answer("/v1/capital/financing_summary", 500, json!({}));
    let old = bench.get("summary").await.expect(200);
    assert_eq!((&old["is_current"], &old["as_of"]), (&json!(false), &differs["as_of"]));
    assert_eq!(old["financing"], differs["financing"]);

    // Older API versions send none of them.
    let mut older = summary(6_000);
    let details = older["details"].as_object_mut().unwrap();
    details.retain(|name, _| !["total_due_amount", "overdue_amount"].contains(&name.as_str()));
    details["current_repayment_interval"].as_object_mut().unwrap().remove("starts_at");
    bench.stub.answer("/v1/capital/financing_summary", 200, older);
    let financing = bench.get("summary").await.expect(200)["financing"].clone();
    assert_eq!(financing["paid_minor"], 6_000);
    let absent = [
        &financing["total_due_minor"],
        &financing["overdue_minor"],
        &financing["current_period"]["starts_at"],
    ];
    assert_eq!(absent, [&Value::Null; 3]);
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn stripe_errors_map_to_codes_without_details(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    for (status, code, status_here, expected) in [
        (500, "api_error", 503, "stripe_unavailable"),
        (429, "rate_limit", 503, "stripe_unavailable"),
        (403, "account_invalid", 404, "not_found"),
        (403, "permission_denied", 502, "stripe_unavailable"),
        (402, "odd", 502, "stripe_unavailable"),
    ] {
        bench.stub.answer("/v1/capital/financing_summary", status, refusal(code));
        let answer = bench.get("summary").await;
        assert!(!answer.body.to_string().contains("secret"), "{}", answer.body);
        let headers = answer.expect_refused(status_here, expected);
        assert_eq!(headers.contains_key("retry-after"), status_here == 503, "{status}");
        assert_eq!(headers["cache-control"], "no-store");
    }
    bench.stub.answer("/v1/capital/financing_summary", 200, json!("<html>"));
    bench.get("summary").await.expect_refused(502, "stripe_unavailable");
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_report_uses_calendar_periods_of_the_accounts_time_zone(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    bench.stub.answer("/v1/accounts/acct_1", 200, account_in("Pacific/Auckland"));
    record_financing(&bench.app, 10).await;
    bench.app.clock.advance(TimeDelta::days(10));
    let report = bench.get("report?per=day").await.expect(200);
    // It is 01:00 on the 5th in Auckland; the default is the last 30 days.
    let head = ["per", "from", "until", "time_zone"].map(|name| report[name].as_str().unwrap());
    assert_eq!(head, ["day", "2026-11-06", "2026-12-05", "Pacific/Auckland"]);
    assert_eq!(report["lines"].as_array().unwrap().len(), 11);
    assert_eq!(
        report["lines"][1],
        json!({
            "begins_on": "2026-11-26", "currency": "usd", "advanced_minor": 0,
            "withheld_minor": 1_500, "paid_otherwise_minor": 0, "paid_minor": 1_500,
            "transactions": 1, "unclear": 0, "discounted_minor": 0,
        })
    );
    let total = &report["totals"][0];
    assert_eq!(
        (&total["advanced_minor"], &total["paid_minor"], &total["transactions"]),
        (&json!(110_000), &json!(15_000), &json!(11))
    );
    let begins = async |query: &str| {
        let report = bench.get(&format!("report?{query}")).await.expect(200);
        let lines = report["lines"].as_array().unwrap();
        lines
            .iter()
            .map(|line| line["begins_on"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(begins("per=week&from=2026-11-26&until=2026-12-02").await, "2026-11-23 2026-11-30");
    assert_eq!(begins("per=month&until=2026-12-31").await, "2026-12-01");
    assert_eq!(begins("per=month&from=2026-11-01&until=2026-12-31").await, "2026-11-01 2026-12-01");
    for (query, code) in [
        ("", "bad_query"),
        ("per=year", "bad_query"),
        ("per=day&from=2026-11-31", "bad_query"),
        ("per=day&from=2026-12-02&until=2026-12-01", "bad_period"),
        ("per=day&from=2016-01-01&until=2026-12-01", "bad_period"),
        ("per=payout&from=2026-11-01&until=2026-12-02", "bad_period"),
    ] {
        bench.get(&format!("report?{query}")).await.expect_refused(400, code);
        bench.get(&format!("report.csv?{query}")).await.expect_refused(400, code);
    }
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_csv_report_contains_no_formula(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    record_financing(&bench.app, 1).await;
    let path = "report.csv?per=day&from=2026-11-24&until=2026-11-25";
    let csv = bench.get(path).await;
    assert_eq!(
        (csv.status, &csv.headers["content-type"]),
        (200, &"text/csv; charset=utf-8".parse().unwrap())
    );
    assert_eq!(csv.headers["cache-control"], "no-store");
    assert_eq!(
        csv.headers["content-disposition"],
        "attachment; filename=\"acct_1_2026-11-24_2026-11-25.csv\""
    );
    let expected = "begins_on,currency,advanced,withheld,paid_otherwise,paid,transactions,\
                    unclear,discounted\r\n\
                    2026-11-24,USD,1100.00,0.00,0.00,0.00,1,0,0.00\r\n\
                    2026-11-25,USD,0.00,15.00,0.00,15.00,1,0,0.00\r\n";
    assert_eq!(String::from_utf8(csv.bytes).unwrap(), expected);

    let payout = json!({
        "id": "=cmd|1", "amount": -5, "currency": "usd", "status": "@sum",
        "arrival_date": day_one().timestamp(),
    });
    bench.stub.answer("/v1/payouts", 200, list(&[payout]));
    bench.stub.answer("/v1/balance_transactions", 200, list(&[]));
    let csv = bench.get("report.csv?per=payout&from=2026-11-24&until=2026-11-25").await;
    let text = String::from_utf8(csv.bytes).unwrap();
    let line = text.lines().nth(1).unwrap();
    assert_eq!(
        line,
        "'=cmd|1,'@sum,2026-11-24,USD,0.00,0.00,0.00,0.00,0.00,0.00,0.00,-0.05,-0.05,false"
    );
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn payouts_are_explained_with_totals(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    let payout = |id: &str, amount: i64, status: &str| {
        json!({
            "id": id, "amount": amount, "currency": "usd", "status": status,
            "arrival_date": day_one().timestamp(),
        })
    };
    let moved = |category: &str, amount: i64| {
        json!({
            "id": "txn_1", "type": category, "reporting_category": category, "amount": amount,
            "fee": 0,
        })
    };
    let movements = [moved("charge", 10_000), moved("financing_paydown", -1_500)];
    bench.stub.answer("/v1/balance_transactions", 200, list(&movements));
    let payouts = [
        payout("po_2", 8_500, "paid"),
        payout("po_1", 8_500, "paid"),
        payout("po_0", 99, "failed"),
    ];
    bench.stub.answer("/v1/payouts", 200, list(&payouts));
    let report = bench.get("report?per=payout").await.expect(200);
    assert_eq!(report["lines"].as_array().unwrap().len(), 3);
    let line = &report["lines"][0];
    assert_eq!((&line["payout_id"], &line["arrives_on"]), (&json!("po_2"), &json!("2026-11-24")));
    assert_eq!((&line["withheld_minor"], &line["paid_out_minor"]), (&json!(1_500), &json!(8_500)));
    let total = &report["totals"][0];
    assert_eq!(
        (&total["gross_sales_minor"], &total["withheld_minor"], &total["unexplained_minor"]),
        (&json!(20_000), &json!(3_000), &json!(0))
    );
    bench.stub.answer("/v1/payouts", 500, json!({}));
    bench.get("report?per=payout").await.expect_refused(503, "stripe_unavailable");
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn only_a_complete_payout_explanation_is_stored(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    let list_payout = |status: &str, charges: &[Value]| {
        let payout = json!({
            "id": "po_1", "amount": 8_000, "currency": "usd", "status": "paid",
            "reconciliation_status": status, "arrival_date": day_one().timestamp(),
            "balance_transaction": "txn_itself",
        });
        bench.stub.answer("/v1/payouts", 200, list(&[payout]));
        bench.stub.answer("/v1/balance_transactions", 200, list(charges));
    };
    let moved = |id: &str, category: &str, amount: i64| {
        json!({
            "id": id, "type": category, "reporting_category": category, "amount": amount,
            "fee": 0, "currency": "usd",
        })
    };
    let itself = moved("txn_itself", "payout", -8_000);
    let line = async || {
        let report = bench.get("report?per=payout").await.expect(200);
        let line = &report["lines"][0];
        (
            line["gross_sales_minor"].as_i64(),
            line["unexplained_minor"].as_i64(),
            line["is_complete"].as_bool(),
        )
    };
    list_payout("in_progress", &[itself.clone(), moved("txn_1", "charge", 3_000)]);
    assert_eq!(line().await, (Some(3_000), Some(5_000), Some(false)));
    list_payout(
        "completed",
        &[itself, moved("txn_1", "charge", 3_000), moved("txn_2", "charge", 5_000)],
    );
    assert_eq!(line().await, (Some(8_000), Some(0), Some(true)));
    list_payout("completed", &[]);
    assert_eq!(line().await, (Some(8_000), Some(0), Some(true)), "stored");
    list_payout("not_applicable", &[]);
    assert_eq!(line().await, (Some(0), Some(8_000), Some(false)));
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_alias_of_a_time_zone_is_accepted(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    bench.stub.answer("/v1/accounts/acct_1", 200, account_in("US/Pacific"));
    record_financing(&bench.app, 1).await;
    let report = bench.get("report?per=day&from=2026-11-20&until=2026-11-26").await.expect(200);
    assert_eq!(
        (&report["time_zone"], report["lines"].as_array().unwrap().len()),
        (&json!("US/Pacific"), 2)
    );
    bench.app.finish().await;
}

fn account_link(number: u32) -> Value {
    json!({"object": "account_link", "created": 1, "expires_at": 301,
           "url": format!("https://connect.stripe.com/setup/c/acct_1/SESAME{number}")})
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn each_call_creates_a_link_with_its_return_urls(db: PgPool) {
    let back = [("COURIER_CAPITAL__RETURN_URL", "https://rocket.example/done")];
    let bench = Bench::start(db, &back).await;
    bench.stub.answer("/v1/account_links", 200, account_link(1));
    let answer = bench.link(r#"{"type": "application"}"#).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let link = answer.expect(200);
    assert_eq!(
        link,
        json!({
            "url": "https://connect.stripe.com/setup/c/acct_1/SESAME1",
            "expires_at": "1970-01-01T00:05:01Z", "type": "application",
        })
    );
    bench.stub.answer("/v1/account_links", 200, account_link(2));
    let own = json!({
        "type": "reporting", "refresh_url": "http://localhost:3000/again?a=1&b=2",
        "return_url": "https://x.example/",
    });
    let link = bench.link(&own.to_string()).await.expect(200);
    assert!(link["url"].as_str().unwrap().ends_with("SESAME2"), "{link}");
    let form = |body: &str| -> Vec<(String, String)> {
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
    };
    let asked: Vec<_> = bench.stub.asked().iter().map(|asked| form(&asked.body)).collect();
    let expected = |values: [&str; 4]| {
        let names = ["account", "type", "refresh_url", "return_url"];
        let pairs = names.into_iter().zip(values);
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(
        asked,
        [
            expected([
                "acct_1",
                "capital_financing_offer",
                "https://rocket.example/capital",
                "https://rocket.example/done"
            ]),
            expected([
                "acct_1",
                "capital_financing_reporting",
                "http://localhost:3000/again?a=1&b=2",
                "https://x.example/"
            ]),
        ]
    );
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_refused_link_has_a_code(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    for (body, code) in [
        ("", "malformed_body"),
        ("{}", "malformed_body"),
        (r#"{"type": "capital_financing_offer"}"#, "malformed_body"),
        (r#"{"type": "application", "collect": 1}"#, "malformed_body"),
        (r#"{"type": "application", "return_url": "/capital"}"#, "malformed_body"),
        (r#"{"type": "application", "return_url": "http://rocket.example/"}"#, "bad_url"),
        (r#"{"type": "application", "refresh_url": "javascript:alert(1)"}"#, "bad_url"),
    ] {
        bench.link(body).await.expect_refused(400, code);
    }
    assert!(bench.stub.asked().is_empty());
    for (status, code, status_here, expected) in [
        (400, "invalid_request_error", 409, "link_refused"),
        (400, "resource_missing", 404, "not_found"),
        (403, "account_invalid", 404, "not_found"),
        (403, "permission_denied", 502, "stripe_unavailable"),
        (500, "api_error", 503, "stripe_unavailable"),
    ] {
        bench.stub.answer("/v1/account_links", status, refusal(code));
        bench.link(r#"{"type": "application"}"#).await.expect_refused(status_here, expected);
    }
    bench.app.finish().await;
}

/// The log at every level.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn links_keys_and_addresses_are_never_logged(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    let writer = key(&bench.app, &[Scope::ContactsWrite]).await;
    let log = Log::default();
    let writing = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writing.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    bench.stub.answer("/v1/account_links", 200, account_link(1));
    let link = bench.link(r#"{"type": "application"}"#).await.expect(200);
    assert!(link["url"].as_str().unwrap().contains("SESAME1"));
    // A response that cannot be decoded.
    bench.stub.answer("/v1/account_links", 200, json!({"url": "SESAME 2"}));
    bench.link(r#"{"type": "application"}"#).await.expect_refused(502, "stripe_unavailable");
    let body = r#"{"email": "owner@bakery.example"}"#;
    call(&bench.app, &writer, "PUT", "/api/v1/accounts/acct_1/contact", body).await.expect(200);
    drop(guard);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        logged.contains("created an Account Link") && logged.contains("o***@bakery.example"),
        "{logged}"
    );
    for secret in ["SESAME", "owner@", &bench.key, &writer] {
        assert!(!logged.contains(secret), "{secret} in {logged}");
    }
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_rate_limit_applies_per_key(db: PgPool) {
    let bench = Bench::start(db, &[("COURIER_API__REQUESTS_PER_SECOND", "2")]).await;
    for _ in 0..4 {
        bench.get("offers").await.expect(200);
    }
    let headers = bench.get("offers").await.expect_refused(429, "rate_limited");
    assert_eq!(
        (&headers["retry-after"], &headers["cache-control"]),
        (&"1".parse().unwrap(), &"no-store".parse().unwrap())
    );
    let other = key(&bench.app, &[Scope::FinancingsRead]).await;
    call(&bench.app, &other, "GET", "/api/v1/accounts/acct_1/offers", "").await.expect(200);
    bench.app.clock.advance(TimeDelta::seconds(1));
    for _ in 0..2 {
        bench.get("offers").await.expect(200);
    }
    bench.get("offers").await.expect_refused(429, "rate_limited");
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn each_route_requires_its_scope(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    let reader =
        key(&bench.app, &[Scope::OptOutsRead, Scope::OptOutsWrite, Scope::BouncesWrite]).await;
    for (method, path, scope) in [
        ("GET", "offers", "financings:read"),
        ("GET", "offers/financingoffer_1/timeline", "financings:read"),
        ("GET", "summary", "financings:read"),
        ("GET", "transactions", "financings:read"),
        ("GET", "transactions/cptxn_1/origin", "financings:read"),
        ("GET", "report", "financings:read"),
        ("GET", "report.csv", "financings:read"),
        ("POST", "links", "links:write"),
        ("POST", "sessions", "links:write"),
        ("POST", "offers/financingoffer_1/delivered", "offers:write"),
        ("GET", "contact", "contacts:write"),
        ("PUT", "contact", "contacts:write"),
        ("DELETE", "contact", "contacts:write"),
    ] {
        let answer =
            call(&bench.app, &reader, method, &format!("/api/v1/accounts/acct_1/{path}"), "").await;
        assert!(
            answer.body["error"]["message"].as_str().unwrap().contains(scope),
            "{}",
            answer.body
        );
        answer.expect_refused(403, "missing_scope");
    }
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_link_limit_applies_per_account(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    bench.stub.answer("/v1/account_links", 200, account_link(1));
    for _ in 0..10 {
        bench.link(r#"{"type": "application"}"#).await.expect(200);
    }
    let headers =
        bench.link(r#"{"type": "application"}"#).await.expect_refused(429, "rate_limited");
    assert_eq!(headers["retry-after"], "2");
    assert_eq!(bench.stub.asked().len(), 10);
    bench.app.clock.advance(chrono::TimeDelta::seconds(2));
    bench.link(r#"{"type": "reporting"}"#).await.expect(200);
    bench.app.finish().await;
}
