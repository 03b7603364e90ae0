//! A database for each part, on the server of `DATABASE_URL`, which `scripts/bench` starts with
//! `fsync` on.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

pub struct Database {
    pub url: String,
    pub pool: PgPool,
    server: PgPool,
    name: String,
}

pub async fn server() -> PgPool {
    let url = std::env::var("DATABASE_URL").expect("scripts/bench sets it");
    PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap()
}

impl Database {
    pub async fn create(name: &str) -> Self {
        let server = server().await;
        let mut url: url::Url = std::env::var("DATABASE_URL").unwrap().parse().unwrap();
        for statement in [
            format!("drop database if exists {name} with (force)"),
            format!("create database {name}"),
        ] {
            sqlx::query(AssertSqlSafe(statement)).execute(&server).await.unwrap();
        }
        url.set_path(name);
        let pool = PgPoolOptions::new().max_connections(2).connect(url.as_str()).await.unwrap();
        Self { url: url.into(), pool, server, name: name.to_owned() }
    }

    pub async fn drop(self) {
        self.pool.close().await;
        let statement = format!("drop database {} with (force)", self.name);
        sqlx::query(AssertSqlSafe(statement)).execute(&self.server).await.unwrap();
    }

    /// What a server does by itself when it is not busy, so that it does not do it while we measure.
    pub async fn calm(&self) {
        for statement in ["vacuum analyze", "checkpoint"] {
            sqlx::query(statement).execute(&self.pool).await.unwrap();
        }
    }

    pub async fn is_true(&self, condition: &'static str) -> bool {
        let query = sqlx::query_scalar(AssertSqlSafe(format!("select {condition}")));
        query.fetch_one(&self.pool).await.unwrap()
    }

    pub async fn wait_until(&self, condition: &'static str) {
        while !self.is_true(condition).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn unread(&self) -> i64 {
        let count = "select count(*) from inbox_events where state = 'unread'";
        sqlx::query_scalar(count).fetch_one(&self.pool).await.unwrap()
    }
}

/// Looks at the newest first: from the oldest, each look would pass the index entries of all that was
/// just read, and take a third of a processor from the reader.
macro_rules! all_read {
    () => {
        "(select arrival from inbox_events where state = 'unread'
            order by arrival desc limit 1) is null"
    };
}
/// No event waits for a reader.
pub const ALL_READ: &str = all_read!();
/// Nor is there a job to do now.
pub const SETTLED: &str = concat!(
    all_read!(),
    " and not exists (select from jobs where state in ('queued', 'claimed') and due_at <= now())"
);
