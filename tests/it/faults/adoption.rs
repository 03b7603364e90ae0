//! The first listing of a program's offers, killed repeatedly.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgPool;
use stripe_simulator::NewOffers;

use crate::support::process::{command, world};

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_killed_listing_resumes_and_emails_only_undelivered_offers(db: PgPool) {
    list_through_kills(&db, 500, 3).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
#[ignore = "takes minutes"]
async fn ten_thousand_offers_are_listed_despite_ten_kills(db: PgPool) {
    list_through_kills(&db, 10_000, 10).await;
}

/// Lists `count` offers of all statuses by a process that is killed `kills` times.
async fn list_through_kills(db: &PgPool, count: usize, kills: u64) {
    let (stripe, _relay, mut env) = world(db).await;
    env.insert("COURIER_QUEUE__LEASE".to_owned(), "3s".to_owned());
    env.insert("COURIER_STRIPE__REQUESTS_PER_SECOND".to_owned(), "1000".to_owned());
    let accounts = count / 2;
    let new = NewOffers { count, accounts, disconnected: accounts / 10, ..NewOffers::default() };
    let created = stripe.create_offers(&new).unwrap();
    for kill in 0..kills {
        let mut process = command(&["reconcile", "--all"], &env).spawn().unwrap();
        // Startup takes most of a second; each page takes some tens of milliseconds.
        let lifetime = Duration::from_millis(900 + 350 * (kill % 4));
        if let Ok(status) = tokio::time::timeout(lifetime, process.wait()).await {
            assert!(status.unwrap().success());
        }
        process.kill().await.unwrap();
    }
    let last = command(&["reconcile", "--all", "--json"], &env).output().await.unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let report: serde_json::Value = serde_json::from_slice(&last.stdout).unwrap();
    assert!(report["all_offers"]["ended_at"].is_string(), "{report}");

    let stored: Vec<(String, String)> =
        sqlx::query_as("select offer_id, status from financing_offers order by offer_id")
            .fetch_all(db)
            .await
            .unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let at_stripe: BTreeMap<String, String> =
        stripe.offers().iter().map(|offer| (text(&offer["id"]), text(&offer["status"]))).collect();
    assert_eq!(BTreeMap::from_iter(stored), at_stripe);
    assert_eq!(at_stripe.len(), created.count_by_status.values().sum::<usize>());
    let letters: Vec<(String, i64)> = sqlx::query_as(
        "select status, count(*) from letters join financing_offers using (offer_id) group by 1",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let undelivered = i64::try_from(created.count_by_status["undelivered"]).unwrap();
    assert_eq!(letters, [("undelivered".to_owned(), undelivered)]);
}
