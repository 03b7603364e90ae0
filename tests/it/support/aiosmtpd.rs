//! An independent mail server: Python's aiosmtpd, which `scripts/test` installs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub struct Aiosmtpd {
    _server: Child,
    folder: TempDir,
    port: u16,
}

/// How the server protects connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Plain,
    /// Accepts no message before `STARTTLS`.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

impl Aiosmtpd {
    /// Starts a server with a new certificate for `localhost` only.
    pub async fn start(line: Line) -> Self {
        let command = std::env::var("COURIER_TEST_AIOSMTPD")
            .expect("scripts/test sets COURIER_TEST_AIOSMTPD");
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = certify(folder.path());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut words = command.split_whitespace();
        let mut server = Command::new(words.next().unwrap());
        server.args(words).args([
            "-n",
            "-c",
            "aiosmtpd.handlers.Mailbox",
            "-l",
            &format!("127.0.0.1:{port}"),
        ]);
        let names = match line {
            Line::Plain => None,
            Line::StartTls => Some(["--tlscert", "--tlskey"]),
            Line::Tls => Some(["--smtpscert", "--smtpskey"]),
        };
        if let Some([certificate_name, key_name]) = names {
            server.arg(certificate_name).arg(certificate).arg(key_name).arg(key);
        }
        let server = server
            .arg(folder.path().join("box"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let server = Self { _server: server, folder, port };
        tokio::time::timeout(Duration::from_secs(20), server.answers(line))
            .await
            .expect("aiosmtpd does not answer");
        server
    }

    async fn answers(&self, line: Line) {
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)).await {
                let mut greeting = String::new();
                // Under TLS the server waits for the client's first message.
                if line == Line::Tls
                    || BufReader::new(stream).read_line(&mut greeting).await.is_ok()
                        && greeting.starts_with("220")
                {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The port on `localhost`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that a client must trust.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub fn letters(&self) -> Vec<Vec<u8>> {
        let read = |dir: &Path| {
            std::fs::read_dir(dir)
                .unwrap()
                .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
                .collect()
        };
        read(&self.folder.path().join("box/new"))
    }
}

fn certify(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}
