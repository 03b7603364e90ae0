//! The commands, as processes.

mod account;
mod demo;
mod operator;
mod recipients;
mod start;
mod terminal;

use std::collections::HashMap;
use std::process::Output;

use sqlx::PgPool;

use crate::support::process::{command, url_of};

pub async fn run(db: &PgPool, arguments: &[&str]) -> Output {
    let env = HashMap::from([("DATABASE_URL".to_owned(), url_of(db))]);
    command(arguments, &env).output().await.unwrap()
}

/// What a command prints, if it does what it is told.
pub async fn done(db: &PgPool, arguments: &[&str]) -> String {
    let ended = run(db, arguments).await;
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    String::from_utf8(ended.stdout).unwrap()
}

/// What a command says that cannot do what it is told.
pub async fn refused(db: &PgPool, arguments: &[&str]) -> String {
    let ended = run(db, arguments).await;
    assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stdout));
    String::from_utf8(ended.stderr).unwrap()
}
