//! The service as a real process, which a test can signal and kill.

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

/// The longest time to wait for a start or an exit, also on a busy machine.
const MAX_WAIT: Duration = Duration::from_secs(30);

pub struct Process {
    child: Child,
    /// The webhook's URL, once the process listens.
    pub webhook: Option<String>,
    /// Every log line so far.
    pub log: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

/// The URL of a test's own database, for other processes.
pub fn url_of(db: &PgPool) -> String {
    let base = std::env::var("DATABASE_URL").expect("scripts/test sets DATABASE_URL");
    let mut url = url::Url::parse(&base).unwrap();
    let options = db.connect_options();
    url.set_path(options.get_database().unwrap());
    url.to_string()
}

/// The program to start, if not the one that Cargo built for this test.
pub static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

pub fn command(arguments: &[&str], env: &HashMap<String, String>) -> Command {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_capital-courier"));
    let mut command = Command::new(PROGRAM.get_or_init(built));
    command.args(arguments).env_clear().envs(env).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A process's dependencies, and the environment that connects it to them.
pub async fn world(db: &PgPool) -> (Simulator, Relay, HashMap<String, String>) {
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        api_key: API_KEY.to_owned(),
        time: TimeSource::system(),
    };
    let (stripe, relay) = (Simulator::start(options).await.unwrap(), Relay::start().await);
    let mut env = environment(&stripe, &relay.url());
    env.insert("DATABASE_URL".to_owned(), url_of(db));
    // Longer than the delay below, because a job due later than its interval is due now.
    env.insert("COURIER_RECONCILE__EVERY".to_owned(), "48h".to_owned());
    put_off_reconciliation(db).await;
    (stripe, relay, env)
}

/// Delays the first reconciliation by a day: at startup it would find an offer before its event
/// arrives.
async fn put_off_reconciliation(db: &PgPool) {
    let later = Clock::system().now() + chrono::TimeDelta::days(1);
    let job =
        capital_courier::queue::enqueue(db, "reconcile", capital_courier::queue::SUBJECT, later);
    // Fails without a schema, and then there is no job to delay.
    let _ = job.await;
}

/// Posts a signed body as Stripe does. Returns the status.
pub async fn post(url: &str, body: Vec<u8>) -> u16 {
    try_post(url, body).await.unwrap()
}

/// As [`post`]. `None` without a response.
pub async fn try_post(url: &str, body: Vec<u8>) -> Option<u16> {
    let client = reqwest::Client::builder().build().unwrap();
    let signature = sign(&body, &[SECRET.to_owned()], Clock::system().now());
    let response = client.post(url).header("Stripe-Signature", signature).body(body).send().await;
    response.ok().map(|response| response.status().as_u16())
}

impl Process {
    /// Starts `serve` and waits until the process listens or has ended.
    pub async fn serve(env: &HashMap<String, String>) -> Self {
        Self::start(&["serve"], env).await
    }

    /// As [`Process::serve`], without jobs.
    #[allow(dead_code, reason = "not every program that shares this file uses it")]
    pub async fn receive(env: &HashMap<String, String>) -> Self {
        Self::start(&["serve", "--no-worker"], env).await
    }

    /// Starts `worker`, which has no webhook.
    #[allow(dead_code, reason = "not every program that shares this file uses it")]
    pub async fn work(env: &HashMap<String, String>) -> Self {
        Self::start(&["worker"], env).await
    }

    /// As [`Process::serve`], with these arguments.
    pub async fn start(arguments: &[&str], env: &HashMap<String, String>) -> Self {
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
        let mut child = command(arguments, &env).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let mut webhook = None;
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                log.lock().unwrap().push(line.clone());
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line["message"].as_str().is_some_and(|message| message.starts_with("ready (")) {
                    webhook = line["address"]
                        .as_str()
                        .map(|address| format!("http://{address}/webhooks/stripe"));
                    return;
                }
            }
        };
        tokio::time::timeout(MAX_WAIT, ready).await.expect("the process neither listens nor ends");
        let later = std::sync::Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                later.lock().unwrap().push(line);
            }
        });
        Self { child, webhook, log }
    }

    /// Waits for the exit without a time limit.
    #[allow(dead_code, reason = "not every program that shares this file uses it")]
    pub async fn ended_whenever(&mut self) -> std::process::ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Waits for the exit.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let ended = tokio::time::timeout(MAX_WAIT, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the process does not end:\n{}", self.logged())).unwrap()
    }

    #[allow(dead_code, reason = "not every program that shares this file uses it")]
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// The log lines whose message begins with this text.
    #[allow(dead_code, reason = "not every program that shares this file uses it")]
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

/// An outage of a test's own database: connections are refused, and open ones are terminated.
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
