//! `search`: any id or address leads to what it belongs to.

use serde_json::Value;
use sqlx::PgPool;

use super::{run_err, run_ok};
use crate::support::TestApp;

/// What was found, as `kind id`.
async fn found(app: &TestApp, term: &str) -> Vec<String> {
    let output = run_ok(&app.db, &["search", term, "--json"]).await;
    let hits: Vec<Value> = serde_json::from_str(&output).unwrap();
    let text = |hit: &Value, key: &str| hit[key].as_str().unwrap().to_owned();
    hits.iter().map(|hit| format!("{} {}", text(hit, "kind"), text(hit, "id"))).collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_id_and_every_form_of_an_address_finds_its_owner(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    let account = app.account_of(&offer);
    let letter: String = app.one("select letter_id from letters where offer_id = $1", &offer).await;
    let request: String =
        app.one("select response_request_id from deliveries where offer_id = $1", &offer).await;
    let job: String = app
        .one("select job_id::text from jobs where kind = 'send_letter' and subject = $1", &letter)
        .await;
    let message_id = app.message_id(&offer).await;
    let event = app.event_id(&offer).await;
    let sent = format!("letter {letter}");
    for (term, expected) in [
        (offer.as_str(), format!("offer {offer}")),
        (&account, format!("account {account}")),
        (&letter, sent.clone()),
        (&message_id, sent.clone()),
        (&format!(" <{message_id}> "), sent.clone()),
        (&event, format!("event {event}")),
        (&job, format!("job {job}")),
        (&request, format!("offer {offer}")),
        ("Jenny@Bakery.example", sent.clone()),
    ] {
        assert_eq!(found(&app, term).await, [expected], "{term}");
    }
    let table = run_ok(&app.db, &["search", &letter]).await;
    assert!(table.contains(&offer) && table.contains("offer: sent"), "{table}");
    for nothing in ["Jenny's Bakery", "acct_unknown", "'; drop table letters; --", "%", ""] {
        assert!(
            run_err(&app.db, &["search", nothing]).await.contains("nothing found"),
            "{nothing}"
        );
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_address_is_found_as_contact_as_suppressed_and_after_its_erasure(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    let account = app.account_of(&offer);
    let letter: String = app.one("select letter_id from letters where offer_id = $1", &offer).await;
    run_ok(&app.db, &["contact", "set", &account, "owner@kite.example"]).await;
    assert_eq!(found(&app, "OWNER@kite.example").await, [format!("account {account}")]);
    let erase = ["account", "erase", &account, "--yes", "--with-proof", "--reason", "request 7"];
    run_ok(&app.db, &erase).await;
    assert_eq!(found(&app, "jenny@bakery.example").await, [format!("letter {letter}")]);
    sqlx::query(
        "insert into suppressed_addresses (address_sha256, reason, status, letter_id, suppressed_at)
         values (sha256('jenny@bakery.example'), 'bounce', '5.1.1', $1, now())",
    )
    .bind(&letter)
    .execute(&app.db)
    .await
    .unwrap();
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("jenny@bakery.example"));
    assert_eq!(found(&app, &hash).await, [format!("letter {letter}"), format!("address {hash}")]);
    app.finish().await;
}

/// No search may scan a table: with scans forbidden, each of these plans still has none.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_search_uses_an_index(db: PgPool) {
    let mut connection = db.acquire().await.unwrap();
    sqlx::query("set enable_seqscan = off").execute(&mut *connection).await.unwrap();
    for query in [
        "select from deliveries where response_request_id = 'x'",
        "select from delivery_attempts where lower(recipient) = any('{a,b}')",
        "select from contact_overrides where lower(address) = lower('x')",
        "select from letters where letter_id = 'x' or message_id = 'x'",
        "select from letters where state = 'held' and letter_id < 'x' order by letter_id limit 5",
    ] {
        let explain = sqlx::AssertSqlSafe(format!("explain {query}"));
        let plan: Vec<String> =
            sqlx::query_scalar(explain).fetch_all(&mut *connection).await.unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{query}: {plan}");
    }
}
