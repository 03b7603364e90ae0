//! Pages and reports of an account with very many movements, over HTTP.

use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::figures::{Figure, Goal, percentile};
use crate::http::Connection;
use crate::service::{self, Service};
use crate::sizes::Sizes;
use crate::world::{TOKEN_SECRET, World};
use stripe_simulator::NewAccount;

pub async fn measure(world: &World, sizes: &Sizes) -> Vec<Figure> {
    let account = world.stripe.add_account(&NewAccount::default());
    fill(world, &account, sizes.movements).await;
    let service = world.start(&["serve"], &[]).await;
    sum_up(world, &account).await;
    let cookie = sign_in(&service, &account).await;
    let bearer = format!("Bearer {}", create_key(world).await);
    let api = |path: &str| format!("/api/v1/accounts/{account}/{path}");
    let today = chrono::Utc::now().date_naive();
    let year = format!("from={}&until={today}", today - chrono::Days::new(364));
    let mut figures = Vec::new();
    for (name, path, header) in [
        ("the page", "/capital".to_owned(), ("Cookie", cookie.as_str())),
        ("a month's statement", "/capital/statement".to_owned(), ("Cookie", &cookie)),
        ("summary", api("summary"), ("Authorization", &bearer)),
        ("a hundred transactions", api("transactions?limit=100"), ("Authorization", &bearer)),
        ("a year by days", api(&format!("report?per=day&{year}")), ("Authorization", &bearer)),
        (
            "a year by months, CSV",
            api(&format!("report.csv?per=month&{year}")),
            ("Authorization", &bearer),
        ),
    ] {
        let p99 = ask(&service, &path, header, sizes.requests).await;
        figures.push(Figure::new(format!("{name}, p99"), "ms", Goal::AtMost(50.0), vec![p99]));
    }
    service.stop().await;
    figures
}

/// Has the account's list read, as it is daily. It has nothing new; at its end the movements are
/// added up, before the pages are measured.
async fn sum_up(world: &World, account: &str) {
    let job = "
        insert into jobs (kind, key, subject, due_at, queued_at)
        values ('backfill_transactions', 'backfill_transactions:' || $1, $1, now(), now())";
    sqlx::query(job).bind(account).execute(&world.db.pool).await.unwrap();
    let is_read = "
        select exists (
            select from transaction_backfills where account_id = $1 and completed_at is not null
        )";
    let deadline = Instant::now() + Duration::from_mins(5);
    while !sqlx::query_scalar::<_, bool>(is_read)
        .bind(account)
        .fetch_one(&world.db.pool)
        .await
        .unwrap()
    {
        assert!(Instant::now() < deadline, "the account's list is not read");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.db.calm().await;
}

/// The 99th percentile of so many requests, in milliseconds.
async fn ask(service: &Service, path: &str, header: (&str, &str), requests: usize) -> f64 {
    let mut connection = Connection::open(service.http).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..requests {
        let started = Instant::now();
        let response = connection.get(path, header).await.unwrap();
        times.push(started.elapsed());
        assert_eq!(response.status, 200, "{path}: {}", String::from_utf8_lossy(response.body));
        assert!(response.body.len() > 100, "{path}");
    }
    times.sort_unstable();
    percentile::<Duration>(&times, 0.99).as_secs_f64() * 1000.0
}

/// Signs in as a merchant and returns the session's cookie.
async fn sign_in(service: &Service, account: &str) -> String {
    let exp = chrono::Utc::now().timestamp() + 60;
    let claims = json!({"sub": account, "aud": "capital-courier", "exp": exp, "jti": account});
    let key = EncodingKey::from_secret(TOKEN_SECRET.as_bytes());
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    let mut connection = Connection::open(service.http).await.unwrap();
    let path = format!("/capital?token={token}");
    let response = connection.get(&path, ("Accept", "text/html")).await.unwrap();
    let cookie = response.header("set-cookie").expect("a session").to_owned();
    cookie.split(';').next().unwrap().to_owned()
}

async fn create_key(world: &World) -> String {
    let arguments = ["api-key", "create", "--name", "benchmark", "--scope", "financings:read"];
    let arguments = [&arguments[..], &["--reason", "benchmark", "--json"]].concat();
    let created: Value = serde_json::from_str(&service::run(&arguments, &world.env).await).unwrap();
    created["secret"].as_str().unwrap().to_owned()
}

/// A financing and its movements over a year, of which each fiftieth reverses the one before.
async fn fill(world: &World, account: &str, movements: i64) {
    let offer = "
        insert into financing_offers (offer_id, account_id, livemode, status, financing_type,
            currency, advance_minor, fee_minor, withhold_rate, object, created_at,
            first_seen_at, object_as_of)
        values ('financingoffer_' || $1, $1, false, 'paid_out', 'flex_loan',
            'usd', 1000000000, 100000000, 0.15, '{}', now(), now(), now())";
    sqlx::query(offer).bind(account).execute(&world.db.pool).await.unwrap();
    let transactions = "
        insert into financing_transactions (transaction_id, account_id, offer_id, livemode,
            type, reason, currency, advance_minor, fee_minor, total_minor,
            reversed_transaction_id, charge_id, object, created_at, first_seen_at)
        select 'cptxn_' || $1 || n, $1, 'financingoffer_' || $1, false,
            case when n % 50 = 0 then 'reversal' else 'payment' end,
            case when n % 50 = 0 then 'automatic_withholding_refund'
                when n % 20 = 1 then 'user_initiated'
                else 'automatic_withholding' end,
            'usd', 1364, 136, 1500,
            case when n % 50 = 0 then 'cptxn_' || $1 || (n - 1) end,
            'py_' || $1 || n,
            json_build_object('id', 'cptxn_' || $1 || n, 'object', 'capital.financing_transaction',
                'type', 'payment', 'user_facing_description', 'Paydown of your loan',
                'details', json_build_object('total_amount', 1500, 'currency', 'usd')),
            now() - (n % 365) * interval '1 day' - (n % 86400) * interval '1 second',
            now()
        from generate_series(1, $2) n";
    let insert = sqlx::query(transactions).bind(account).bind(movements);
    insert.execute(&world.db.pool).await.unwrap();
    world.db.calm().await;
}
