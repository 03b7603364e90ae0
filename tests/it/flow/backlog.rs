//! What a statement reads does not grow with what waits, even while Postgres knows nothing of it.

use std::time::Duration;

use capital_courier::database::Pool;
use capital_courier::flow::inbox::store::{ReadOutcome, mark};
use capital_courier::queue::{ClaimRequest, claim};
use sqlx::{PgConnection, PgPool};

use crate::support::day_one;

const BACKLOG: i32 = 3_000;
/// Of the backlog, in one statement.
const SET: usize = 10;
/// A row is locked, found again and changed.
const MOST_READ: i64 = 5 * 10;

/// The rows of a table that this transaction has read.
async fn rows_read(tx: &mut PgConnection, table: &str) -> i64 {
    sqlx::query_scalar(
        "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = $1",
    )
    .bind(table)
    .fetch_one(tx)
    .await
    .unwrap()
}

/// Statistics of an empty table, and then a backlog.
async fn fill(db: &PgPool, table: &str, insert: &'static str) {
    let analyze = format!("vacuum analyze {table}");
    sqlx::query(sqlx::AssertSqlSafe(analyze)).execute(db).await.unwrap();
    let filled = sqlx::query(insert).bind(BACKLOG).bind(day_one()).execute(db).await.unwrap();
    assert_eq!(filled.rows_affected(), u64::try_from(BACKLOG).unwrap());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn marking_events_reads_none_that_waits(db: PgPool) {
    let insert = "insert into inbox_events (event_id, event_type, received_at)
        select 'evt_' || number, 'test', $2 from generate_series(1, $1) as number";
    fill(&db, "inbox_events", insert).await;
    let ids: Vec<String> = (1..=SET).map(|number| format!("evt_{number}")).collect();
    let note = ReadOutcome::Unreadable("no \0 object".to_owned());
    let outcomes: Vec<(&str, &ReadOutcome)> = ids
        .iter()
        .map(|id| (id.as_str(), if id == "evt_7" { &note } else { &ReadOutcome::Read(None) }))
        .collect();
    let mut tx = Pool::from(db.clone()).begin_along_indexes().await.unwrap();
    let before = rows_read(&mut tx, "inbox_events").await;
    assert_eq!(mark(&mut tx, &outcomes, day_one()).await.unwrap().len(), SET);
    let read = rows_read(&mut tx, "inbox_events").await - before;
    assert!(read <= MOST_READ, "{read} rows for {SET} events");
    assert!(mark(&mut tx, &outcomes, day_one()).await.unwrap().is_empty(), "they are read");
    tx.commit().await.unwrap();
    let states: Vec<(String, Option<String>, i64)> = sqlx::query_as(
        "select state, note, count(*) from inbox_events group by state, note order by state",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    let unreadable = states.iter().find(|(state, ..)| state == "unreadable").unwrap();
    assert!(unreadable.1.as_deref().unwrap().ends_with(" object"), "{unreadable:?}");
    let counts: Vec<(&str, i64)> =
        states.iter().map(|(state, _, n)| (state.as_str(), *n)).collect();
    assert_eq!(counts, [("read", 9), ("unread", i64::from(BACKLOG) - 10), ("unreadable", 1)]);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn claiming_jobs_reads_none_that_waits(db: PgPool) {
    let insert = "insert into jobs (kind, key, subject, low_priority, due_at, queued_at)
        select 'test', 'test:' || number, number::text, false, $2, $2
        from generate_series(1, $1) as number";
    fill(&db, "jobs", insert).await;
    let (lease, grace) = (Duration::from_mins(1), Duration::ZERO);
    let request = ClaimRequest { kind: "test", limit: SET, fresh: SET, lease, grace };
    let mut tx = Pool::from(db).begin_along_indexes().await.unwrap();
    let before = rows_read(&mut tx, "jobs").await;
    assert_eq!(claim(&mut *tx, &request, day_one()).await.unwrap().len(), SET);
    let read = rows_read(&mut tx, "jobs").await - before;
    assert!(read <= MOST_READ, "{read} rows for {SET} jobs");
}
