//! The service as operators run it: its own process, with its default settings, on real ports.

use std::collections::HashMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::http::Connection;

const PROGRAM: &str = env!("CARGO_BIN_EXE_capital-courier");
/// A grown database takes a while.
const MAX_START: Duration = Duration::from_mins(2);

pub struct Service {
    child: Child,
    pub http: SocketAddr,
    /// From the start of the process until `/readyz` answered 200.
    pub ready_after: Duration,
}

/// Where the benchmark writes files, such as the service's log.
pub fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

impl Service {
    /// Starts it with these arguments, and waits until it is ready.
    pub async fn start(arguments: &[&str], env: &HashMap<String, String>) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        Self::spawn(command, env).await
    }

    /// The same under valgrind, which writes its counts to the file.
    pub async fn start_profiled(
        arguments: &[&str],
        env: &HashMap<String, String>,
        counts: &Path,
    ) -> Self {
        let mut command = Command::new("valgrind");
        command
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}", counts.display()))
            .arg(PROGRAM)
            .args(arguments);
        Self::spawn(command, env).await
    }

    async fn spawn(mut command: Command, env: &HashMap<String, String>) -> Self {
        let (http, ops) = (free_address(), free_address());
        let log = File::create(directory().join("service.log")).unwrap();
        command
            .env_clear()
            .envs(env)
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("COURIER_HTTP__LISTEN", http.to_string())
            .env("COURIER_OPS__LISTEN", ops.to_string())
            .env("COURIER_TELEMETRY__FORMAT", "json")
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        while !is_ready(ops).await {
            let ended = child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < MAX_START,
                "the service does not become ready: see {}",
                directory().join("service.log").display()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { child, http, ready_after: started.elapsed() }
    }

    /// Resident memory in MB, now and at most so far.
    pub fn memory(&self) -> (f64, f64) {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let kilobytes = line.trim().trim_end_matches(" kB").parse::<f64>().unwrap();
            kilobytes * 1024.0 / 1e6
        };
        (megabytes("VmRSS:"), megabytes("VmHWM:"))
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
        let ended = self.child.wait().await.unwrap();
        assert!(ended.success(), "the service ended with {ended}");
    }
}

async fn is_ready(ops: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(ops).await else { return false };
    connection.get("/readyz", ("Accept", "*/*")).await.is_ok_and(|response| response.status == 200)
}

/// Runs a command of the program and returns what it printed.
pub async fn run(arguments: &[&str], env: &HashMap<String, String>) -> String {
    let output =
        Command::new(PROGRAM).args(arguments).env_clear().envs(env).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
