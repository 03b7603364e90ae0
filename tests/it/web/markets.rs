//! What the Capital section and the API say about each product in each market.

use capital_courier::stripe::{FinancingType, MARKETS, ProductTerms, Refill};
use capital_courier::web::api::Scope;
use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::{PRODUCTS, Refills};

use super::api::{call, key};
use crate::support::TestApp;
use crate::support::browser::Browser;
use crate::support::stripe::Stub;

#[test]
fn the_table_agrees_with_that_of_the_simulator() {
    for product in PRODUCTS {
        let financing_type = FinancingType::from(product.financing_type.to_owned());
        let terms = ProductTerms::new(Some(product.country), Some(&financing_type), None);
        let refill = product.refills.map(|refills| match refills {
            Refills::Settle => Refill::Settles,
            Refills::Stack => Refill::Stacks,
        });
        let expected = ProductTerms {
            minimum_days: product.minimum.days().map(i64::from),
            has_bank_debit: product.bank_debit == Some(true),
            has_no_minimum: product.minimum.days().is_none()
                && MARKETS.iter().any(|row| {
                    row.country == product.country && row.financing_type == financing_type
                }),
            refill,
        };
        assert_eq!(terms, expected, "{product:?}");
    }
    for row in &MARKETS {
        let is = |product: &&stripe_simulator::Product| {
            (product.country, product.financing_type) == (row.country, row.financing_type.as_str())
        };
        assert_eq!(PRODUCTS.iter().filter(is).count(), 1, "{row:?}");
    }
}

/// Inserts a refill.
async fn receive(app: &TestApp, account: &str, product: &str, status: &str) {
    let terms = json!({
        "advance_amount": 100_000, "fee_amount": 10_000, "currency": "usd",
        "withhold_rate": 0.15, "previous_financing_fee_discount_rate": 0.1,
    });
    sqlx::query(
        "insert into financing_offers (offer_id, account_id, livemode, status, product_type,
             financing_type, disclaimer_variant, currency, advance_minor, fee_minor,
             withhold_rate, object, created_at, expires_at, first_seen_at, object_as_of)
         values ($1, $2, false, $3, 'refill', $4, 'celtic_us_loan', 'usd', 100000, 10000, 0.15,
             $5, $6, $6 + interval '20 days', $6, $6)",
    )
    .bind(format!("financingoffer_{account}_{status}"))
    .bind(account)
    .bind(status)
    .bind(product)
    .bind(json!({ "offered_terms": terms }))
    .bind(app.clock.now())
    .execute(&app.db)
    .await
    .unwrap();
}

fn summary(app: &TestApp, offer: &str) -> Value {
    let (now, day) = (app.clock.now().timestamp(), 86_400);
    json!({
        "object": "capital.financing_summary", "status": "accepted", "financing_offer": offer,
        "details": {
            "advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": 6_000,
            "remaining_amount": 104_000, "currency": "usd", "withhold_rate": 0.15,
            "advance_paid_out_at": now - 20 * day, "repayments_begin_at": now - 15 * day,
            "current_repayment_interval": {
                "due_at": now + 40 * day, "paid_amount": 100, "remaining_amount": 12_000,
            },
        },
    })
}

const DUE: [&str; 4] = [
    "A minimum amount is due every 60 days.",
    "A minimum amount is due every 30 days.",
    "A minimum amount is due each week.",
    "Each week, a portion of your daily sales is withheld until the minimum for that week is met.",
];
const DEBIT: &str = "the difference is debited from your bank account";
const SETTLES: &str = "part of the new financing is used to complete your current financing";
const STACKS: &str = "your current financing continues alongside the new one";
const DISCOUNT: &str = "10% of what remains of it";
const SHARE: &str = "goes to your financing automatically until it is complete";
const CAPPED: &str = "automatically, up to the minimum for each payment period";
const RATE: &str = "15%";

/// What the page of an open refill, also under review, and of a running financing must say, of all
/// these sentences.
struct Says {
    open: &'static [&'static str],
    running: &'static [&'static str],
}

fn expected(country: &str, product: &str) -> Says {
    let (open, running): (&[_], &[_]) = match (country, product) {
        ("US", "flex_loan") => (&[DUE[0], DEBIT, SETTLES, DISCOUNT, RATE], &[DEBIT, SHARE, RATE]),
        ("US", "cash_advance") => (&[SETTLES, DISCOUNT, RATE], &[RATE]),
        ("US", "fixed_term_loan") => (&[DUE[3], SETTLES, DISCOUNT, RATE], &[CAPPED, RATE]),
        ("US", "line_of_credit") => (&[], &[]),
        ("AU", "flex_loan") => (&[DUE[1], DEBIT, SETTLES, DISCOUNT, RATE], &[DEBIT, SHARE, RATE]),
        ("GB", "cash_advance") => (&[STACKS, DISCOUNT, RATE], &[RATE]),
        ("GB" | "DE" | "FR", "flex_loan") => (&[DUE[2], STACKS, DISCOUNT, RATE], &[SHARE, RATE]),
        ("CA", "flex_loan") => (&[DISCOUNT, RATE], &[SHARE, RATE]),
        other => panic!("no expectation for {other:?}"),
    };
    Says { open, running }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn page_and_api_say_what_is_documented_for_each_product_and_nothing_else(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    let key = key(&app, &[Scope::FinancingsRead]).await;
    let all = [DUE[0], DUE[1], DUE[2], DUE[3], DEBIT, SETTLES, STACKS, DISCOUNT, SHARE, CAPPED];
    for product in PRODUCTS {
        let (country, name) = (product.country, product.financing_type);
        let says = expected(country, name);
        for (status, must) in
            [("delivered", says.open), ("accepted", says.open), ("paid_out", says.running)]
        {
            let account = format!("acct_{country}_{name}_{status}");
            stub.answer(
                "/v1/accounts/",
                200,
                json!({"id": account, "object": "account", "country": country}),
            );
            let offer = format!("financingoffer_{account}_{status}");
            stub.answer("/v1/capital/financing_summary", 200, summary(&app, &offer));
            receive(&app, &account, name, status).await;
            let page = Browser::signed_in(&app, &account).await.open("/capital").await;
            let main = page.text.split("<main").nth(1).unwrap().split("</main").next().unwrap();
            for sentence in all.into_iter().chain([RATE]) {
                let is_said = main.contains(sentence);
                let place = format!("{country} {name} {status}: `{sentence}`");
                assert_eq!(is_said, must.contains(&sentence), "{place} in {main}");
            }
            if name == "line_of_credit" && status == "delivered" {
                page.expect_says(&["You’re prequalified for financing", "Its terms are shown"]);
                page.expect_silent_about(&["1,000", "daily sales"]);
            }

            let path = format!("/api/v1/accounts/{account}/offers");
            let list = call(&app, &key, "GET", &path, "").await.expect(200);
            let shown = &list["data"][0];
            let refill = match product.refills {
                Some(Refills::Settle) => json!("settles"),
                Some(Refills::Stack) => json!("stacks"),
                None => Value::Null,
            };
            assert_eq!(shown["minimum_period_days"], json!(product.minimum.days()), "{shown}");
            let has_debit = product.bank_debit == Some(true);
            assert_eq!(shown["has_bank_debit"], json!(has_debit), "{shown}");
            assert_eq!(shown["refill"], refill, "{shown}");
        }
    }
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn two_running_financings_have_an_order_only_where_refills_stack(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    // A line of credit has no terms, and so no figures without Stripe's.
    for product in PRODUCTS.iter().filter(|product| product.financing_type != "line_of_credit") {
        let (country, name) = (product.country, product.financing_type);
        let account = format!("acct_two_{country}_{name}");
        let found = json!({"id": account, "object": "account", "country": country});
        stub.answer("/v1/accounts/", 200, found);
        receive(&app, &account, name, "paid_out").await;
        let newer = format!("financingoffer_{account}_paid_out");
        let to_older = "update financing_offers set offer_id = 'financingoffer_' || account_id,
            created_at = created_at - interval '90 days', withhold_rate = 0.12
            where offer_id = $1";
        sqlx::query(to_older).bind(&newer).execute(&app.db).await.unwrap();
        receive(&app, &account, name, "paid_out").await;
        stub.answer("/v1/capital/financing_summary", 200, summary(&app, &newer));
        let page = Browser::signed_in(&app, &account).await.open("/capital").await;
        let main = page.text.split("<main").nth(1).unwrap().split("</main").next().unwrap();
        let stacks = matches!(product.refills, Some(Refills::Stack));
        let (first, details) = if stacks { (1, 0) } else { (0, 2) };
        for (sentence, times) in [
            ("class=\"tag\">In progress", 2),
            ("goes to your earlier financing first", first),
            ("15% of each day’s sales", first),
            ("What happens next is explained in its details.", details),
            (DEBIT, 0),
            ("12%", 0),
        ] {
            let place = format!("{country} {name}: `{sentence}` in {main}");
            assert_eq!(main.matches(sentence).count(), times, "{place}");
        }
        // Stripe's figures for the newer one, with the way to what they mean.
        let waits = "$120.00 more by";
        let asks = "What you can do is explained in the details";
        let is_loan = ["flex_loan", "fixed_term_loan"].contains(&name);
        assert_eq!(main.contains(waits), is_loan, "{country} {name}: {main}");
        assert_eq!(main.contains(asks), is_loan && stacks, "{country} {name}: {main}");
    }
    app.abandon();
}
