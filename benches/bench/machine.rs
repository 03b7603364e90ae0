//! What the figures were measured on.

use std::process::Command;

use crate::database;

pub async fn describe() -> String {
    let server = database::server().await;
    let setting = |name| sqlx::query_scalar::<_, String>("select current_setting($1)").bind(name);
    let version = setting("server_version").fetch_one(&server).await.unwrap();
    let fsync = setting("fsync").fetch_one(&server).await.unwrap();
    let cores = std::thread::available_parallelism().unwrap();
    format!(
        "{}, {cores} cores, {:.0} GB of memory. Postgres {version}, fsync {fsync}. {}, commit {}{}. \
         Client, service, Postgres and the simulated Stripe share the machine.",
        value("/proc/cpuinfo", "model name"),
        value("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0)
            * 1024.0
            / 1e9,
        chrono::Utc::now().format("%Y-%m-%d %H:%M UTC"),
        git(&["rev-parse", "--short", "HEAD"]),
        if git(&["status", "--porcelain"]).is_empty() { "" } else { " with changes" }
    )
}

/// The first value of this name in a file of `name: value` lines.
fn value(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
    value.unwrap_or("unknown").to_owned()
}

fn git(arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
