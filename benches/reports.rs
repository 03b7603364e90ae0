//! Response times of the busiest pages and the heaviest reports over a million transactions of ten
//! thousand accounts, on a real Postgres (`DATABASE_URL`). It calls the router without a socket.
//!
//! `scripts/bench` runs it. It is not a test: it checks that there are responses, and prints times.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing to measure")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures wall-clock time and is not part of the service"
)]
#![expect(clippy::print_stdout, reason = "it prints its results")]

use std::collections::HashMap;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use capital_courier::app::App;
use capital_courier::clock::Clock;
use capital_courier::config::{Requirement, Settings};
use capital_courier::database::Pool;
use capital_courier::web::api::keys::{self, Scope};
use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::ExposeSecret;
use stripe_simulator::{NewAccount, Options, Simulator, TimeSource};
use tower::ServiceExt;

const API_KEY: &str = "sk_test_benchmark";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ROUNDS: usize = 300;
/// The number of transactions of each measured account.
const SIZES: [i64; 4] = [100, 1_000, 10_000, 50_000];

fn settings(stripe: &Simulator) -> Settings {
    let env: HashMap<String, String> = [
        ("DATABASE_URL", std::env::var("DATABASE_URL").expect("scripts/bench sets it")),
        ("STRIPE_API_KEY", API_KEY.to_owned()),
        ("STRIPE_WEBHOOK_SECRET", "whsec_benchmark".to_owned()),
        ("SMTP_URL", "file:/dev/null".to_owned()),
        ("COURIER_STRIPE__API_BASE", stripe.base_url().to_string()),
        ("COURIER_EMAIL__FROM", "Rocket Capital <capital@rocket.example>".to_owned()),
        ("COURIER_EMAIL__POSTAL_ADDRESS", "1 Main Street, Springfield".to_owned()),
        ("COURIER_CAPITAL__PROGRAM_NAME", "Rocket Capital".to_owned()),
        ("COURIER_CAPITAL__DASHBOARD_URL", "https://rocket.example/capital".to_owned()),
        ("COURIER_HTTP__PUBLIC_URL", "https://courier.rocket.example".to_owned()),
        ("COURIER_PORTAL__TOKEN_SECRET", SECRET.to_owned()),
        ("COURIER_API__REQUESTS_PER_SECOND", "1000000".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    Settings::load(None, &env, Requirement::WebhookSecret).unwrap()
}

/// Inserts `count` transactions over a year: of this account, where each fiftieth reverses the one
/// before it, or else of ten thousand accounts.
async fn insert_transactions(db: &Pool, account: Option<&str>, from: i64, count: i64) {
    sqlx::query(
        "
        insert into financing_transactions (transaction_id, account_id, offer_id, livemode,
            type, reason, currency, advance_minor, fee_minor, total_minor,
            reversed_transaction_id, charge_id, object, created_at, first_seen_at)
        select 'cptxn_' || n,
            coalesce($1, 'acct_' || n % 10000),
            coalesce('financingoffer_' || $1, 'financingoffer_' || n % 10000),
            false,
            case when n % 50 = 0 and $1 is not null then 'reversal' else 'payment' end,
            case when n % 50 = 0 and $1 is not null then 'automatic_withholding_refund'
                when n % 20 = 1 then 'user_initiated'
                else 'automatic_withholding' end,
            'usd', 1364, 136, 1500,
            case when n % 50 = 0 then 'cptxn_' || (n - 1) end,
            'py_' || n,
            json_build_object('id', 'cptxn_' || n, 'object', 'capital.financing_transaction',
                'type', 'payment', 'user_facing_description', 'Paydown of your loan',
                'details', json_build_object('total_amount', 1500, 'currency', 'usd')),
            now() - (n % 365) * interval '1 day' - (n % 86400) * interval '1 second',
            now()
        from generate_series($2, $2 + $3 - 1) n
        ",
    )
    .bind(account)
    .bind(from)
    .bind(count)
    .execute(db)
    .await
    .unwrap();
}

/// Inserts an offer and the transactions of each measured account, and others up to a million.
async fn insert_all(db: &Pool, accounts: &[String]) {
    let mut from = 1;
    for (account, size) in accounts.iter().zip(SIZES) {
        insert_transactions(db, Some(account), from, size).await;
        from += size;
        sqlx::query(
            "
            insert into financing_offers (offer_id, account_id, livemode, status, financing_type,
                currency, advance_minor, fee_minor, withhold_rate, object, created_at,
                first_seen_at, object_as_of)
            values ('financingoffer_' || $1, $1, false, 'paid_out', 'flex_loan',
                'usd', 100000000, 10000000, 0.15, '{}', now(),
                now(), now())
            ",
        )
        .bind(account)
        .execute(db)
        .await
        .unwrap();
    }
    while from < 1_000_000 {
        let count = (1_000_000 - from + 1).min(100_000);
        insert_transactions(db, None, from, count).await;
        from += count;
    }
    sqlx::query("vacuum analyze financing_transactions").execute(db).await.unwrap();
}

/// Sends the same request `ROUNDS` times. The median and the 99th percentile, in milliseconds.
async fn measure(router: &Router, path: &str, name: &str, value: &str) -> (f64, f64) {
    let mut times_ms = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let request = Request::get(path).header(name, value).body(Body::empty()).unwrap();
        let started = Instant::now();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        times_ms.push(started.elapsed().as_secs_f64() * 1000.0);
        assert!(body.len() > 100, "{path}");
    }
    times_ms.sort_by(f64::total_cmp);
    (times_ms[ROUNDS / 2], times_ms[ROUNDS * 99 / 100])
}

/// Signs in as a merchant and returns the session's cookie.
async fn sign_in(router: &Router, account: &str) -> String {
    let exp = Clock::system().now().timestamp() + 60;
    let claims =
        serde_json::json!({"sub": account, "aud": "capital-courier", "exp": exp, "jti": account});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    let request = Request::get(format!("/capital?token={token}")).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::main]
async fn main() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let options = Options { listen, api_key: API_KEY.to_owned(), time: TimeSource::system() };
    let stripe = Simulator::start(options).await.unwrap();
    let app = App::open(settings(&stripe), Clock::system()).await.unwrap();
    let router = app.router().unwrap();
    let accounts = SIZES.map(|_| stripe.add_account(&NewAccount::default()));
    let started = Instant::now();
    insert_all(app.db(), &accounts).await;
    println!(
        "a million transactions of ten thousand accounts, inserted in {:.0} s; \
         {ROUNDS} requests each, in sequence",
        started.elapsed().as_secs_f64()
    );
    let key = keys::create(app.db(), "benchmark", &[Scope::FinancingsRead], Clock::system().now())
        .await
        .unwrap();
    let bearer = format!("Bearer {}", key.secret.expose_secret());
    let today = Clock::system().now().date_naive();
    let year = format!("from={}&until={today}", today - chrono::Days::new(364));
    println!("{:>42}  {:>9}  {:>9}", "milliseconds", "median", "p99");
    for (account, size) in accounts.iter().zip(SIZES) {
        let cookie = sign_in(&router, account).await;
        let api = |path: &str| format!("/api/v1/accounts/{account}/{path}");
        for (name, path, header, value) in [
            ("the page", "/capital".to_owned(), "Cookie", &cookie),
            ("a month's statement", "/capital/statement".to_owned(), "Cookie", &cookie),
            ("summary", api("summary"), "Authorization", &bearer),
            ("a hundred transactions", api("transactions?limit=100"), "Authorization", &bearer),
            ("a year by days", api(&format!("report?per=day&{year}")), "Authorization", &bearer),
            (
                "a year by months, CSV",
                api(&format!("report.csv?per=month&{year}")),
                "Authorization",
                &bearer,
            ),
        ] {
            let (median, p99) = measure(&router, &path, header, value).await;
            println!("{size:>9} transactions: {name:<22}  {median:9.1}  {p99:9.1}");
        }
    }
    app.close().await;
}
