//! The service as a real process, which can really be killed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use capital_courier::clock::Clock;
use sqlx::PgPool;
use stripe_simulator::{Options, Simulator, TimeSource, sign};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::smtp::Relay;
use super::{API_KEY, SECRET, environment};

/// Longer than any start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Process {
    child: Child,
    /// Where it takes webhooks, once it does.
    pub webhook: Option<String>,
    /// Every line of its log so far.
    pub log: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

/// The URL of a test's own database, as other processes need it.
pub fn url_of(db: &PgPool) -> String {
    let base = std::env::var("DATABASE_URL").expect("scripts/test sets DATABASE_URL");
    let mut url = url::Url::parse(&base).unwrap();
    let options = db.connect_options();
    url.set_path(options.get_database().unwrap());
    url.to_string()
}

/// The program to start, where it is not the one that cargo built for this test.
pub static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

pub fn command(arguments: &[&str], env: &HashMap<String, String>) -> Command {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_capital-courier"));
    let mut command = Command::new(PROGRAM.get_or_init(built));
    command.args(arguments).env_clear().envs(env).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What a process leans on, and the environment that says where it is.
pub async fn world(db: &PgPool) -> (Simulator, Relay, HashMap<String, String>) {
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        api_key: API_KEY.to_owned(),
        time: TimeSource::system(),
    };
    let (stripe, relay) = (Simulator::start(options).await.unwrap(), Relay::start().await);
    let mut env = environment(&stripe, &relay.url());
    env.insert("DATABASE_URL".to_owned(), url_of(db));
    // Longer than it is put off for: a job that is due later than its interval is due now.
    env.insert("COURIER_RECONCILE__EVERY".to_owned(), "48h".to_owned());
    put_off_reconciliation(db).await;
    (stripe, relay, env)
}

/// A process reconciles as soon as it starts, and would find an offer before its event does.
async fn put_off_reconciliation(db: &PgPool) {
    let later = Clock::system().now() + chrono::TimeDelta::days(1);
    let job =
        capital_courier::queue::enqueue(db, "reconcile", capital_courier::queue::SUBJECT, later);
    // A database without a schema has no jobs either.
    let _ = job.await;
}

/// Posts as Stripe does, and returns the status.
pub async fn post(url: &str, body: Vec<u8>) -> u16 {
    let client = reqwest::Client::builder().build().unwrap();
    let signature = sign(&body, &[SECRET.to_owned()], Clock::system().now());
    client
        .post(url)
        .header("Stripe-Signature", signature)
        .body(body)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

impl Process {
    /// Starts `serve` and waits until it takes webhooks, or has ended.
    pub async fn serve(env: &HashMap<String, String>) -> Self {
        let mut env = env.clone();
        for (name, value) in [
            ("COURIER_HTTP__LISTEN", "127.0.0.1:0"),
            ("COURIER_OPS__LISTEN", "127.0.0.1:0"),
            ("COURIER_QUEUE__LEASE", "3s"),
            ("COURIER_QUEUE__POLL_INTERVAL", "100ms"),
            ("COURIER_TELEMETRY__FORMAT", "json"),
        ] {
            env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let mut child = command(&["serve"], &env).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let mut webhook = None;
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                log.lock().unwrap().push(line.clone());
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line["message"]
                    .as_str()
                    .is_some_and(|message| message.starts_with("listening for webhooks"))
                {
                    webhook = line["address"]
                        .as_str()
                        .map(|address| format!("http://{address}/webhooks/stripe"));
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("it starts or ends in time");
        let further = std::sync::Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                further.lock().unwrap().push(line);
            }
        });
        Self { child, webhook, log }
    }

    /// Waits for its end, however long that takes.
    #[allow(dead_code, reason = "not every program that shares this file asks")]
    pub async fn ended_whenever(&mut self) -> std::process::ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Waits for its end by itself, and says how it ended.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it does not end in time:\n{}", self.logged())).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// The log lines whose message begins so.
    #[allow(dead_code, reason = "not every program that shares this file asks")]
    pub fn logged_lines(&self, message: &str) -> Vec<serde_json::Value> {
        let lines = self.log.lock().unwrap();
        let lines =
            lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines
            .filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message)))
            .collect()
    }

    pub fn logged(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

/// Nobody gets into a test's own database, and whoever was in it is thrown out.
pub struct Outage {
    server: PgPool,
    name: String,
}

impl Outage {
    pub async fn begin(db: &PgPool) -> Self {
        let options = db.connect_options();
        let name = options.get_database().unwrap().to_owned();
        let server = PgPool::connect_with((*options).clone().database("postgres")).await.unwrap();
        let outage = Self { server, name };
        outage.allow(false).await;
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
            .bind(&outage.name)
            .execute(&outage.server)
            .await
            .unwrap();
        outage
    }

    pub async fn end(self) {
        self.allow(true).await;
        self.server.close().await;
    }

    async fn allow(&self, allowed: bool) {
        let statement = format!(r#"alter database "{}" allow_connections {allowed}"#, self.name);
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&self.server).await.unwrap();
    }
}
