//! `demo`, the first command that a new user runs.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::process::command;
use crate::support::wait::eventually;

/// A first start plays ten months, also on a busy machine.
const MAX_START: Duration = Duration::from_mins(2);

struct Demo {
    child: Child,
    /// Where a browser finds everything.
    address: String,
    http: Client,
}

fn demo(dir: &Path, more: &[&str]) -> Command {
    let dir = dir.to_str().unwrap();
    let arguments = ["demo", "--no-open", "--listen", "127.0.0.1:0", "--dir", dir];
    // The embedded Postgres is unpacked into the user's cache.
    let home = std::env::var("HOME").unwrap_or_else(|_| dir.to_owned());
    command(&[&arguments, more].concat(), &HashMap::from([("HOME".to_owned(), home)]))
}

fn client(redirects: Policy) -> Client {
    let builder = capital_courier::http::client::builder(Duration::from_secs(30));
    builder.redirect(redirects).build().unwrap()
}

fn letters(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir.join("mail")).unwrap();
    files.filter(|file| file.as_ref().unwrap().path().extension() == Some("eml".as_ref())).count()
}

impl Demo {
    /// Starts it and waits until it has printed the address.
    async fn start(dir: &Path) -> Self {
        let mut child = demo(dir, &[]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let read_address = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(rest) = line.trim().strip_prefix("Open ") {
                    return rest.trim().split('/').take(3).collect::<Vec<_>>().join("/");
                }
            }
            panic!("the demo ended without an address");
        };
        let address = tokio::time::timeout(MAX_START, read_address).await.unwrap();
        // Nobody may close the pipe: the demo prints on.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address, http: client(Policy::default()) }
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.address));
        request.header("accept", "text/html").send().await.unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    }

    /// The merchant's page, to which its dashboard signs it in.
    async fn section(&self, account: &str) -> String {
        let http = client(Policy::none());
        let (mut at, mut cookie) = (format!("{}/dashboard/{account}", self.address), String::new());
        for _ in 0..4 {
            let response = http.get(&at).header("cookie", &cookie).send().await.unwrap();
            let text = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
            if let Some(set) = text("set-cookie") {
                set.split(';').next().unwrap().clone_into(&mut cookie);
            }
            match text("location") {
                Some(location) => at = response.url().join(location).unwrap().into(),
                None => return response.text().await.unwrap(),
            }
        }
        panic!("{at} leads on and on");
    }

    /// Presses a button of the simulator's pages.
    async fn press(&self, button: &str) {
        let url = format!("{}/_simulator/page/{button}", self.address);
        let response = self.http.post(url).send().await.unwrap();
        assert!(response.status().is_success(), "{button}: {}", response.status());
    }

    /// The first account whose name is in a page's link.
    async fn account(&self, name: &str) -> String {
        let page = self.page("/merchants").await;
        let before = &page[..page.find(&format!("<strong>{name}")).unwrap()];
        let id = &before[before.rfind("acct_").unwrap()..];
        id.split(['"', '&']).next().unwrap().to_owned()
    }

    async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        let killed = Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
        assert!(killed.success());
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn one_address_shows_everything_and_nothing_is_lost_when_the_service_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path()).await;
    pages_render(&demo).await;
    other_sites_cannot_act(&demo).await;
    a_killed_service_sends_each_letter_once(&demo, dir.path()).await;
    let sent = letters(dir.path());
    demo.stop().await;

    // All is still there, and nothing is sent again.
    let output = self::demo(dir.path(), &["--once"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(letters(dir.path()), sent);
}

/// The pages that `scripts/pictures` shows are among them.
async fn pages_render(demo: &Demo) {
    let jenny = demo.account("Jenny").await;
    let section = demo.section(&jenny).await;
    assert!(section.contains("$18,000") && section.contains("<svg"), "{section}");
    let pages = [
        ("/".to_owned(), "Be the merchant"),
        ("/mailbox?to=jenny%40bakery.example".to_owned(), "$18,000"),
        ("/mailbox?q=Sonnenschein".to_owned(), "lena@sonnenschein.example"),
        (format!("/merchants?account={jenny}&width=phone"), "demo-frame phone"),
        (format!("/_simulator/?account={jenny}"), "Until paid in full"),
        ("/console/attention".to_owned(), "Stripe has no address of the account"),
        (format!("/console/accounts/{jenny}"), "letter_"),
        ("/metrics".to_owned(), "courier_"),
    ];
    for (path, expected) in pages {
        let page = demo.page(&path).await;
        assert!(page.contains(expected), "{path} lacks {expected}: {page}");
        let is_html = page.contains("<html");
        assert!(!is_html || page.contains("class=\"demo-bar\""), "{path} has no bar");
    }
}

async fn other_sites_cannot_act(demo: &Demo) {
    let url = format!("{}/_simulator/page/trouble/kill/start", demo.address);
    let foreign = demo.http.post(&url).header("sec-fetch-site", "cross-site");
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let rebound = demo.http.get(&demo.address).header("host", "attacker.example");
    assert_eq!(rebound.send().await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST);
}

async fn a_killed_service_sends_each_letter_once(demo: &Demo, dir: &Path) {
    let rocket = demo.account("Rocket").await;
    let before = letters(dir);
    demo.press("trouble/relay_down/start").await;
    demo.press(&format!("accounts/{rocket}/expire")).await;
    demo.press(&format!("accounts/{rocket}/offer")).await;
    demo.press("trouble/kill/start").await;
    // Its pages say so, until it is back.
    let plain = client(Policy::none());
    let url = format!("{}/console/attention", demo.address);
    eventually(
        || "away".to_owned(),
        async || {
            let page = plain.get(&url).header("accept", "text/html").send().await.unwrap();
            page.status() == StatusCode::SERVICE_UNAVAILABLE
                && page.text().await.unwrap().contains("The service is down")
        },
    )
    .await;
    let is_ready = async || demo.get("/readyz").await.status().is_success();
    eventually(|| "back".to_owned(), is_ready).await;
    assert_eq!(letters(dir), before, "the mail server is down");

    demo.press("trouble/relay_down/stop").await;
    demo.press("trouble/events_backwards/start").await;
    let merchant = format!("/_simulator/?account={rocket}");
    eventually(
        || "sent, and Stripe knows".to_owned(),
        async || {
            demo.page(&merchant).await.contains("Stripe knows that the offer reached")
                && letters(dir) == before + 1
        },
    )
    .await;
}

#[tokio::test]
async fn a_folder_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("postgres")).unwrap();
    let output = demo(dir.path(), &["--once"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--dir"), "{output:?}");
    assert!(dir.path().join("postgres").exists());
}
