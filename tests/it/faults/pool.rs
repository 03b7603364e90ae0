//! The pool of connections that the service opens itself.

use std::collections::HashSet;
use std::time::Duration;

use capital_courier::config::DatabaseOnly;
use capital_courier::database::{self, Database, Pool};
use futures_util::FutureExt;
use futures_util::future::{join_all, try_join_all};
use sqlx::PgPool;

use crate::support::process::url_of;
use crate::support::wait::eventually;

async fn open(db: &PgPool, max_connections: u32) -> Database {
    let env = [
        ("DATABASE_URL", url_of(db)),
        ("COURIER_DATABASE__MAX_CONNECTIONS", max_connections.to_string()),
        ("COURIER_DATABASE__ACQUIRE_TIMEOUT", "5s".to_owned()),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value)).into();
    database::open(&DatabaseOnly::load(None, &env).unwrap().database).await.unwrap()
}

/// Which server process runs a statement.
async fn server_of(pool: &Pool) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn work_in_sequence_stays_on_one_connection(db: PgPool) {
    let database = open(&db, 6).await;
    let all = try_join_all((0..6).map(|_| database.pool.begin())).await.unwrap();
    for tx in all {
        tx.rollback().await.unwrap();
    }
    assert_eq!(database.pool.usage().open, 6);
    let mut servers = HashSet::from([server_of(&database.pool).await]);
    for _ in 0..10 {
        servers.insert(server_of(&database.pool).await);
        let mut tx = database.pool.begin().await.unwrap();
        let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *tx).await;
        servers.insert(pid.unwrap());
        tx.commit().await.unwrap();
    }
    assert_eq!(servers.len(), 1, "{servers:?}");
    let is_idle = async || database.pool.usage().idle == 6;
    eventually(|| "a connection that is kept is idle".to_owned(), is_idle).await;

    // The servers go away as in a restart of Postgres.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'capital-courier'",
    )
    .execute(&db)
    .await
    .unwrap();
    assert!(!servers.contains(&server_of(&database.pool).await), "it was tested before its use");
    database.close().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_transaction_that_does_not_commit_leaves_nothing(db: PgPool) {
    let database = open(&db, 1).await;
    let add = "insert into malformed_bodies
                   (body_sha256, body, reason, first_received_at, last_received_at)
               values ('\\x00', '', 'test', now(), now())";
    let is_empty = async || {
        let count = "select not exists (select from malformed_bodies)";
        sqlx::query_scalar::<_, bool>(count).fetch_one(&database.pool).await.unwrap()
    };
    let server = server_of(&database.pool).await;
    for is_dropped in [true, false] {
        let mut tx = database.pool.begin().await.unwrap();
        sqlx::query(add).execute(&mut *tx).await.unwrap();
        if is_dropped {
            drop(tx);
        } else {
            tx.rollback().await.unwrap();
        }
        assert!(is_empty().await);
    }
    assert!(database.pool.begin().now_or_never().is_none(), "cancelled");
    assert!(is_empty().await);
    // Nor does one whose statement failed, or was cancelled.
    let mut tx = database.pool.begin().await.unwrap();
    sqlx::query(add).execute(&mut *tx).await.unwrap();
    assert!(sqlx::query("select 1 / 0").execute(&mut *tx).await.is_err());
    drop(tx);
    let slow = sqlx::query("select pg_sleep(0.3)").execute(&database.pool);
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    assert!(is_empty().await);
    assert_eq!(server_of(&database.pool).await, server, "all on one connection");
    database.close().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn nobody_waits_for_a_connection_that_is_idle(db: PgPool) {
    for connections in [1, 2] {
        let database = open(&db, connections).await;
        let pool = &database.pool;
        let users = (0..60).map(|number| async move {
            if number % 2 == 0 {
                return sqlx::query("select pg_sleep(0.01)").execute(pool).await.map(drop);
            }
            let mut tx = pool.begin().await?;
            sqlx::query("select pg_sleep(0.01)").execute(&mut *tx).await?;
            tx.commit().await
        });
        try_join_all(users).await.unwrap();
        // These ask sqlx's pool, which does not know of what is kept.
        let listeners = join_all((0..connections).map(|_| pool.listener())).await;
        assert!(listeners.iter().all(Result::is_ok), "{listeners:?}");
        drop(listeners);
        database.close().await;
    }
    let left = "select count(*) = 0 from pg_stat_activity
                where datname = current_database() and application_name = 'capital-courier'";
    let is_closed = async || sqlx::query_scalar::<_, bool>(left).fetch_one(&db).await.unwrap();
    eventually(|| "connections are left".to_owned(), is_closed).await;
}
