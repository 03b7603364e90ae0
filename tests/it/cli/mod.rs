//! Commands, run as processes.

mod account;
mod acts;
mod again;
mod demo;
mod doctor;
mod endpoint;
mod healthcheck;
mod install;
mod letters;
mod operator;
mod pause;
mod recipients;
mod search;
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

/// The output of a command that exits with 0.
pub async fn run_ok(db: &PgPool, arguments: &[&str]) -> String {
    let output = run(db, arguments).await;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The error message of a command that exits with 1.
pub async fn run_err(db: &PgPool, arguments: &[&str]) -> String {
    let output = run(db, arguments).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}
