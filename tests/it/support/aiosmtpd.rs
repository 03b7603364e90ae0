//! A mail server that is not ours: Python's aiosmtpd, which `scripts/test` installs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub struct Aiosmtpd {
    _server: Child,
    mail: TempDir,
    port: u16,
}

impl Aiosmtpd {
    pub async fn start() -> Self {
        let command =
            std::env::var("COURIER_TEST_AIOSMTPD").expect("run scripts/test: it finds a mail server");
        let mail = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut words = command.split_whitespace();
        let server = Command::new(words.next().unwrap())
            .args(words)
            .args(["-n", "-c", "aiosmtpd.handlers.Mailbox", "-l", &format!("127.0.0.1:{port}")])
            .arg(mail.path().join("box"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let greeted = async {
            loop {
                if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
                    let mut line = String::new();
                    if BufReader::new(stream).read_line(&mut line).await.is_ok() && line.starts_with("220") {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), greeted).await.expect("aiosmtpd answers");
        Self { _server: server, mail, port }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    pub fn letters(&self) -> Vec<Vec<u8>> {
        let read = |dir: &Path| {
            std::fs::read_dir(dir)
                .unwrap()
                .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
                .collect()
        };
        read(&self.mail.path().join("box/new"))
    }
}
