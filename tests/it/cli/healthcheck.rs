//! `healthcheck`, as a container's engine runs it: with the settings of the container and no other.

use std::collections::HashMap;
use std::process::Output;

use sqlx::PgPool;

use crate::support::process::{Outage, Process, command, world};
use crate::support::wait::eventually;

async fn healthcheck(ops_listen: &str) -> Output {
    let env = HashMap::from([
        ("COURIER_OPS__LISTEN".to_owned(), ops_listen.to_owned()),
        // A proxy for outgoing requests, which must not be asked.
        ("HTTP_PROXY".to_owned(), "http://127.0.0.1:9".to_owned()),
    ]);
    command(&["healthcheck"], &env).output().await.unwrap()
}

/// The one line on stderr of a failed check.
#[track_caller]
fn problem(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
    stderr
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn healthcheck_follows_readyz_on_a_wildcard_address(db: PgPool) {
    let (_stripe, _relay, mut env) = world(&db).await;
    env.insert("COURIER_OPS__LISTEN".to_owned(), "0.0.0.0:0".to_owned());
    let process = Process::serve(&env).await;
    let listening = process.logged_lines("health and metrics at");
    let address = listening[0]["address"].as_str().unwrap();
    assert!(address.starts_with("0.0.0.0:"), "{address}");

    let output = healthcheck(address).await;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");

    let outage = Outage::begin(&db).await;
    // `/readyz` may repeat its last result for a second.
    let context = || "healthcheck ignores an outage of the database".to_owned();
    eventually(context, async || !healthcheck(address).await.status.success()).await;
    let problem = problem(&healthcheck(address).await);
    assert!(problem.contains("/readyz answered 503"), "{problem}");
    assert!(problem.contains(r#""database":"away""#), "{problem}");
    outage.end().await;
}

#[tokio::test]
async fn healthcheck_fails_in_one_line_if_no_process_answers() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let problem_without_listener = problem(&healthcheck(&unused.to_string()).await);
    assert!(problem_without_listener.contains("Connection refused"), "{problem_without_listener}");

    // Accepts connections by its backlog and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let problem_of_silence = problem(&healthcheck(&silent.local_addr().unwrap().to_string()).await);
    assert!(problem_of_silence.contains("timed out"), "{problem_of_silence}");
}

#[tokio::test]
async fn healthcheck_exits_with_1_for_invalid_settings() {
    let output = healthcheck("9090").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ops.listen"), "{output:?}");
}
