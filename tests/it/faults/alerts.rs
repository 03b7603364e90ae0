//! Makes the alerts of `deploy/prometheus/rules.yaml` fire in a real Prometheus by their causes, and
//! clear. Run by `scripts/try-alerts`. The rules are those of the file with ages, windows and volumes
//! scaled down ([`quick`]); what they compare is unchanged.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use capital_courier::clock::Clock;
use capital_courier::database::Pool;
use capital_courier::web::api::{Scope, keys};
use chrono::TimeDelta;
use regex::Regex;
use secrecy::ExposeSecret;
use sqlx::PgPool;
use stripe_simulator::{
    Fault, FaultKind, NewAccount, NewOffer, Options, Simulator, TimeSource, WebhookEndpoint, sign,
};
use tokio::process::{Child, Command};

use crate::feedback::reports::{complaint, permanent_bounce};
use crate::letters::approvals::{LIVE, write_disclaimer};
use crate::support::process::{Outage, Process, command, url_of};
use crate::support::smtp::{Relay, Step, Trouble};
use crate::support::{API_KEY, SECRET, environment};

const RULES: &str = include_str!("../../../deploy/prometheus/rules.yaml");
/// Longer than any window, pause and retry below.
const MAX_WAIT: Duration = Duration::from_secs(100);
/// It needs a live key, and so a service of its own.
const LIVE_ONLY: &str = "CourierLettersNotApproved";

/// What happened to one alert.
struct Tried {
    alert: &'static str,
    cause: &'static str,
    fired: Option<f32>,
    cleared: Option<f32>,
}

struct Trial {
    db: PgPool,
    stripe: Simulator,
    stripe_time: TimeSource,
    relay: Relay,
    env: HashMap<String, String>,
    service: Option<Process>,
    http: reqwest::Client,
    prometheus: String,
    /// Ends with the trial.
    _server: Child,
    _dir: tempfile::TempDir,
    merchants: u32,
    cause: &'static str,
    tried: Vec<Tried>,
}

/// The rules with durations of seconds.
fn quick(rules: &str) -> String {
    let mut rules = rules.to_owned();
    for (pattern, replacement) in [
        (r"for: \d+m", "for: 1s"),
        (r"\[1h\]", "[40s]"),
        (r"\[(\d+m|1d)\]", "[10s]"),
        // The age of a timestamp.
        (r"(timestamp_seconds[^>]*\)) > \d+", "$1 > 5"),
        // The time of a backlog, and numbers of letters.
        (r"> (14400|100|50|300)\b", "> 4"),
    ] {
        rules = Regex::new(pattern).unwrap().replace_all(&rules, replacement).into_owned();
    }
    rules
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn start_prometheus(dir: &std::path::Path, target: &str) -> (Child, String) {
    std::fs::write(dir.join("rules.yaml"), quick(RULES)).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: [rules.yaml]\n\
         scrape_configs: [{{job_name: capital-courier, static_configs: [{{targets: [\"{target}\"]}}]}}]\n"
    );
    std::fs::write(dir.join("prometheus.yaml"), config).unwrap();
    let address = free_address();
    let program = std::env::var("COURIER_TEST_PROMETHEUS").expect("scripts/try-alerts sets it");
    let server = Command::new(program)
        .arg(format!("--config.file={}", dir.join("prometheus.yaml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=error")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (server, format!("http://{address}"))
}

impl Trial {
    async fn start(db: PgPool, api_key: &str, settings: &[(&str, &str)]) -> Self {
        let stripe_time = TimeSource::system();
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            api_key: api_key.to_owned(),
            time: stripe_time.clone(),
        };
        let (stripe, relay) = (Simulator::start(options).await.unwrap(), Relay::start().await);
        let (public, ops) = (free_address(), free_address());
        let mut env = environment(&stripe, &relay.url());
        for (name, value) in [
            ("DATABASE_URL", url_of(&db).as_str()),
            ("STRIPE_API_KEY", api_key),
            ("COURIER_HTTP__LISTEN", public.as_str()),
            ("COURIER_OPS__LISTEN", ops.as_str()),
            ("COURIER_RECONCILE__EVERY", "1s"),
            ("COURIER_DATABASE__MAX_CONNECTIONS", "6"),
            ("COURIER_DATABASE__ACQUIRE_TIMEOUT", "500ms"),
            ("COURIER_DELIVERY__CONCURRENCY", "2"),
            ("COURIER_STRIPE__TIMEOUT", "2s"),
        ]
        .iter()
        .chain(settings)
        {
            env.insert((*name).to_owned(), (*value).to_owned());
        }
        let dir = tempfile::tempdir().unwrap();
        let (server, prometheus) = start_prometheus(dir.path(), &ops);
        let endpoint = WebhookEndpoint::new(
            format!("http://{public}/webhooks/stripe").parse().unwrap(),
            SECRET,
        );
        stripe.register_webhook(endpoint);
        let mut trial = Self {
            db,
            stripe,
            stripe_time,
            relay,
            env,
            service: None,
            http: reqwest::Client::new(),
            prometheus,
            _server: server,
            _dir: dir,
            merchants: 0,
            cause: "",
            tried: Vec::new(),
        };
        trial.serve(&["serve"]).await;
        trial
    }

    async fn serve(&mut self, arguments: &[&str]) {
        self.service = Some(Process::start(arguments, &self.env).await);
    }

    async fn stop(&mut self) {
        let mut service = self.service.take().unwrap();
        service.signal("-TERM");
        service.ended().await;
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.env["COURIER_HTTP__LISTEN"])
    }

    fn offer_without_address(&self) -> String {
        let account = NewAccount { name: None, email: None, country: None };
        self.stripe.create_offer(&self.stripe.add_account(&account), &NewOffer::default())
    }

    /// Runs a command as an operator.
    async fn command(&self, arguments: &[&str]) {
        let run = command(arguments, &self.env).output().await.unwrap();
        assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// A merchant of its own, because one with a bounced address gets no further letter.
    fn offer(&mut self) -> String {
        self.merchants += 1;
        let account = NewAccount {
            name: Some("Jenny's Bakery".to_owned()),
            email: Some(format!("jenny-{}@bakery.example", self.merchants)),
            country: None,
        };
        self.stripe.create_offer(&self.stripe.add_account(&account), &NewOffer::default())
    }

    fn fail_stripe(&self, method: &'static str, path: &'static str, status: u16) {
        let kind = FaultKind::Error { status, code: "api_error", headers: vec![] };
        self.stripe.inject(Fault { method, path, times: u32::MAX, kind });
    }

    async fn post(&self, body: Vec<u8>, secret: &str) {
        let signature = sign(&body, &[secret.to_owned()], Clock::system().now());
        let request = self.http.post(self.url("/webhooks/stripe")).body(body);
        // The answer does not matter: several causes are refusals.
        let _ = request.header("Stripe-Signature", signature).send().await;
    }

    async fn report(&self, key: &str, message: String) {
        let request = self.http.post(self.url("/inbound/bounces")).bearer_auth(key).body(message);
        let answer = request.header("Content-Type", "message/rfc822").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
    }

    async fn is_firing(&self, alert: &str) -> bool {
        let answer = self.http.get(format!("{}/api/v1/alerts", self.prometheus)).send().await;
        let Ok(answer) = answer else { return false };
        let answer: serde_json::Value =
            serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        answer["data"]["alerts"].as_array().is_some_and(|alerts| {
            alerts.iter().any(|one| one["labels"]["alertname"] == alert && one["state"] == "firing")
        })
    }

    /// Repeats `again` until the alert is in this state. Returns the seconds.
    async fn wait(&self, alert: &str, firing: bool, again: impl AsyncFn(&Self)) -> Option<f32> {
        let started = Instant::now();
        while started.elapsed() < MAX_WAIT {
            again(self).await;
            if self.is_firing(alert).await == firing {
                return Some(started.elapsed().as_secs_f32());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        None
    }

    /// Waits until none of these alerts fires by an earlier cause.
    async fn begin(&mut self, cause: &'static str, alerts: &[&str]) {
        self.cause = cause;
        for alert in alerts {
            let quiet = self.wait(alert, false, async |_| {}).await;
            assert!(quiet.is_some(), "{alert} fires before its cause");
        }
    }

    async fn fires_while(&mut self, alert: &'static str, again: impl AsyncFn(&Self)) {
        let fired = self.wait(alert, true, again).await;
        self.tried.push(Tried { alert, cause: self.cause, fired, cleared: None });
    }

    async fn fires(&mut self, alert: &'static str) {
        self.fires_while(alert, async |_| {}).await;
    }

    async fn clears(&mut self, alert: &'static str) {
        let cleared = self.wait(alert, false, async |_| {}).await;
        self.tried.iter_mut().rfind(|tried| tried.alert == alert).unwrap().cleared = cleared;
    }

    async fn try_process(&mut self) {
        self.begin("the process is stopped", &["CourierDown"]).await;
        self.stop().await;
        self.fires("CourierDown").await;
        self.serve(&["serve"]).await;
        self.clears("CourierDown").await;

        self.begin("the process is started six times", &[]).await;
        for _ in 0..6 {
            self.stop().await;
            self.serve(&["serve"]).await;
            // Each start is scraped once.
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
        self.fires("CourierRestarting").await;
        self.clears("CourierRestarting").await;

        self.begin(
            "the limit of file descriptors is lowered to a few more than are open",
            &["CourierFileDescriptors"],
        )
        .await;
        let pid = self.service.as_ref().unwrap().id();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        limit_descriptors(pid, open + 5).await;
        self.fires("CourierFileDescriptors").await;
        limit_descriptors(pid, 4096).await;
        self.clears("CourierFileDescriptors").await;

        self.begin("the database's clock is 90 s ahead of Stripe's", &["CourierClockSkew"]).await;
        self.stripe_time.advance(TimeDelta::seconds(-90));
        self.fires("CourierClockSkew").await;
        self.stripe_time.advance(TimeDelta::seconds(90));
        self.clears("CourierClockSkew").await;
    }

    async fn try_database(&mut self) {
        self.begin(
            "Postgres refuses connections, while webhooks arrive",
            &["CourierDatabaseDown", "CourierRequestsFail"],
        )
        .await;
        let outage = Outage::begin(&self.db).await;
        self.fires("CourierDatabaseDown").await;
        self.fires_while("CourierRequestsFail", async |trial| {
            trial.post(b"{\"id\":\"evt_unstored\"}".to_vec(), SECRET).await;
        })
        .await;
        outage.end().await;
        self.clears("CourierDatabaseDown").await;
        self.clears("CourierRequestsFail").await;

        self.begin("a lock on a table holds all connections", &["CourierPoolExhausted"]).await;
        let mut lock = self.db.begin().await.unwrap();
        sqlx::query("lock table malformed_bodies").execute(&mut *lock).await.unwrap();
        self.fires_while("CourierPoolExhausted", async |trial| {
            let post = |number: u32| trial.post(format!("no event {number}").into_bytes(), SECRET);
            let all = futures_util::future::join_all((0..20).map(post));
            let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
        })
        .await;
        lock.rollback().await.unwrap();
        self.clears("CourierPoolExhausted").await;
    }

    async fn try_stripe(&mut self) {
        self.begin("Stripe answers 401 to every call", &["CourierStripeKeyRejected"]).await;
        self.fail_stripe("", "/v1/", 401);
        self.fires("CourierStripeKeyRejected").await;
        self.stripe.clear_faults();
        self.clears("CourierStripeKeyRejected").await;

        self.begin(
            "Stripe answers 503 to every call",
            &["CourierStripeDown", "CourierReconciliationLate"],
        )
        .await;
        self.fail_stripe("", "/v1/", 503);
        self.fires("CourierStripeDown").await;
        self.fires("CourierReconciliationLate").await;
        self.stripe.clear_faults();
        self.clears("CourierStripeDown").await;
        self.clears("CourierReconciliationLate").await;

        self.begin("Stripe fails to mark offers as delivered", &["CourierDeliveriesWaiting"]).await;
        self.fail_stripe("POST", "mark_delivered", 500);
        self.offer();
        self.fires("CourierDeliveriesWaiting").await;
        self.stripe.clear_faults();
        self.clears("CourierDeliveriesWaiting").await;

        self.begin(
            "Stripe signs with a secret that is not configured here",
            &["CourierSignaturesRefused"],
        )
        .await;
        self.fires_while("CourierSignaturesRefused", async |trial| {
            trial.post(b"{\"id\":\"evt_rolled\"}".to_vec(), "whsec_the_new_one").await;
        })
        .await;
        self.clears("CourierSignaturesRefused").await;

        self.offer();
        self.begin("no event arrives while offers are open", &["CourierNoEvents"]).await;
        self.fires("CourierNoEvents").await;
        self.offer();
        self.clears("CourierNoEvents").await;
    }

    async fn try_letters(&mut self) {
        self.begin(
            "the relay drops every connection",
            &["CourierRelayDown", "CourierLettersWaiting"],
        )
        .await;
        self.relay.close_after_message();
        self.relay.fail(Step::Connect, Trouble::Drop, u32::MAX);
        for _ in 0..5 {
            self.offer();
        }
        self.fires("CourierRelayDown").await;
        self.fires("CourierLettersWaiting").await;
        self.relay.heal();
        self.clears("CourierRelayDown").await;
        self.clears("CourierLettersWaiting").await;

        self.begin("the relay takes two seconds per letter, and forty wait", &["CourierBacklog"])
            .await;
        self.relay.fail(Step::Dot, Trouble::Wait(Duration::from_secs(2)), u32::MAX);
        for _ in 0..40 {
            self.offer();
        }
        self.fires("CourierBacklog").await;
        self.relay.heal();
        self.clears("CourierBacklog").await;

        let (db, now) = (Pool::from(self.db.clone()), Clock::system().now());
        let new = keys::create(&db, "a test", &[Scope::BouncesWrite], now).await.unwrap();
        let key = new.secret.expose_secret().to_owned();
        self.begin("some of the letters sent last bounce", &["CourierBounces"]).await;
        self.sent_letters_are_reported("CourierBounces", &key, permanent_bounce).await;
        self.begin("some of the recipients complain", &["CourierComplaints"]).await;
        self.sent_letters_are_reported("CourierComplaints", &key, |message_id, address| {
            complaint("abuse", message_id, address)
        })
        .await;
    }

    /// Ten letters are sent, and three of them reported.
    async fn sent_letters_are_reported(
        &mut self,
        alert: &'static str,
        key: &str,
        message: impl Fn(&str, &str) -> String,
    ) {
        let offers: Vec<String> = (0..10).map(|_| self.offer()).collect();
        for offer in offers.iter().take(3) {
            let (message_id, address) = self.sent(offer).await;
            self.report(key, message(&message_id, &address)).await;
        }
        self.fires(alert).await;
        self.clears(alert).await;
    }

    /// Waits until the offer's letter was sent. Returns its Message-ID and recipient.
    async fn sent(&self, offer: &str) -> (String, String) {
        let started = Instant::now();
        loop {
            let query = "select message_id, recipient from letters
                where offer_id = $1 and state = 'sent'";
            let found = sqlx::query_as(query).bind(offer).fetch_optional(&self.db).await.unwrap();
            if let Some(found) = found {
                return found;
            }
            assert!(started.elapsed() < MAX_WAIT, "the letter about {offer} is not sent");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_work(&mut self) {
        self.begin(
            "no worker runs, and an event arrives",
            &["CourierInboxNotRead", "CourierJobsNotClaimed"],
        )
        .await;
        self.stop().await;
        self.serve(&["serve", "--no-worker"]).await;
        self.offer();
        self.fires("CourierInboxNotRead").await;
        self.fires("CourierJobsNotClaimed").await;
        self.stop().await;
        self.serve(&["serve"]).await;
        self.clears("CourierInboxNotRead").await;
        self.clears("CourierJobsNotClaimed").await;

        self.begin(
            "an account without an address; the letter is withdrawn",
            &["CourierAttentionOld"],
        )
        .await;
        let offer = self.offer_without_address();
        self.fires("CourierAttentionOld").await;
        self.command(&["offer", "withdraw", &offer]).await;
        self.clears("CourierAttentionOld").await;

        self.begin(
            "Stripe refuses to mark an offer; `job retry` once it no longer does",
            &["CourierJobsDead", "CourierAttention"],
        )
        .await;
        self.fail_stripe("POST", "mark_delivered", 400);
        self.offer();
        self.fires("CourierJobsDead").await;
        self.fires("CourierAttention").await;
        self.stripe.clear_faults();
        let dead: Vec<i64> = sqlx::query_scalar("select job_id from jobs where state = 'dead'")
            .fetch_all(&self.db)
            .await
            .unwrap();
        for job in dead {
            self.command(&["job", "retry", &job.to_string()]).await;
        }
        self.clears("CourierJobsDead").await;
        self.clears("CourierAttention").await;
    }

    fn print(&self) {
        let seconds =
            |time: Option<f32>| time.map_or("no".to_owned(), |time| format!("{time:.1} s"));
        println!("| alert | cause | fired after | cleared after |\n|---|---|---:|---:|");
        for Tried { alert, cause, fired, cleared } in &self.tried {
            println!("| {alert} | {cause} | {} | {} |", seconds(*fired), seconds(*cleared));
        }
    }

    /// Fails unless every alert that was tried fired and cleared.
    fn finish(&self) {
        self.print();
        let failed: Vec<&str> = self
            .tried
            .iter()
            .filter(|tried| tried.fired.is_none() || tried.cleared.is_none())
            .map(|tried| tried.alert)
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}

async fn limit_descriptors(pid: u32, limit: usize) {
    let limit = format!("--nofile={limit}:");
    let set = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().await;
    assert!(set.unwrap().success());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
#[ignore = "needs Prometheus: scripts/try-alerts"]
async fn every_alert_fires_by_its_cause_and_clears(db: PgPool) {
    let mut trial = Trial::start(db, API_KEY, &[]).await;
    trial.try_process().await;
    trial.try_work().await;
    trial.try_database().await;
    trial.try_stripe().await;
    trial.try_letters().await;
    trial.stop().await;
    trial.finish();
    let all = Regex::new("alert: ([A-Za-z]+)").unwrap();
    for alert in all.captures_iter(RULES).map(|found| found.get(1).unwrap().as_str()) {
        let is_tried = trial.tried.iter().any(|tried| tried.alert == alert);
        assert!(is_tried || alert == LIVE_ONLY, "{alert} was not tried");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
#[ignore = "needs Prometheus: scripts/try-alerts"]
async fn the_alert_about_missing_approvals_fires_and_clears(db: PgPool) {
    let disclaimers = tempfile::tempdir().unwrap();
    write_disclaimer(disclaimers.path(), "celtic_us_loan");
    let dir = disclaimers.path().to_str().unwrap();
    let settings = [("COURIER_EMAIL__DISCLAIMERS_DIR", dir)];
    let mut trial = Trial::start(db, LIVE.1, &settings).await;
    trial.begin("no wording is approved; `email approve --market US`", &[LIVE_ONLY]).await;
    let offer = trial.offer();
    trial.stripe.edit_offer(&offer, |offer| {
        offer["livemode"] = true.into();
        offer["disclaimer_variant"] = "celtic_us_loan".into();
    });
    let mut event = trial.stripe.emit("capital.financing_offer.created", &offer);
    event["livemode"] = true.into();
    trial.post(serde_json::to_vec(&event).unwrap(), SECRET).await;
    trial.fires(LIVE_ONLY).await;
    trial.command(&["email", "approve", "--market", "US", "--reference", "CCR-1"]).await;
    trial.clears(LIVE_ONLY).await;
    trial.stop().await;
    trial.finish();
}
