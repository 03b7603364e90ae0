//! The database: whether it can be written, its version, its schema, and what its role may do.

use super::{Check, CheckParts, activity};
use crate::clock::Clock;
use crate::database::{self, Health, Pool, ServerInfo};
use crate::telemetry::chain;

const NAME: &str = "database";
/// Postgres 13 is out of support since November 2025, and no test runs on it.
const MIN_VERSION: i32 = 140_000;
/// Whose rows `deploy/roles.sql` lets the service insert and never change.
const EVIDENCE: [&str; 5] = [
    "delivery_attempts",
    "delivery_attempt_results",
    "delivery_reports",
    "operator_actions",
    "timeline_entries",
];

#[derive(Clone, Debug)]
pub struct DatabasePart {
    pub pool: Pool,
    pub is_embedded: bool,
    /// Whether `serve` migrates the schema.
    pub migrates_on_start: bool,
}

pub(super) async fn check(parts: &CheckParts) -> Vec<Check> {
    let Some(part) = &parts.database else { return Vec::new() };
    if let Ok(measured) = database::measure_clock(&part.pool).await {
        parts.clock.follow(measured);
    }
    let server = match database::server_info(&part.pool, &EVIDENCE).await {
        Ok(server) => server,
        Err(error) => return vec![Check::wrong(NAME, chain(&error), "check that Postgres runs")],
    };
    let health = database::health(&part.pool).await;
    let mut checks = vec![check_health(part, &server, health)];
    checks.extend(check_version(&server));
    if health == Health::Ready {
        checks.push(check_role(part, &server, parts.is_live()));
        checks.extend(check_activity(part, parts).await);
    }
    checks
}

async fn check_activity(part: &DatabasePart, parts: &CheckParts) -> Vec<Check> {
    let clock: &Clock = &parts.clock;
    let limits = parts.email.as_ref().map(|email| &email.limits);
    activity::check(&part.pool, (limits, &parts.webhook_secrets), clock.now()).await
}

fn check_health(part: &DatabasePart, server: &ServerInfo, health: Health) -> Check {
    const MIGRATE: &str = "run `capital-courier migrate`";
    let kind = if part.is_embedded { "embedded" } else { "reachable" };
    match health {
        Health::Ready => Check::ok(
            NAME,
            format!("{kind}, Postgres {}, writable, schema current", server.version_text),
        ),
        Health::ReadOnly => {
            Check::wrong(NAME, "read-only", "set DATABASE_URL to the primary server")
        }
        Health::Full => Check::wrong(NAME, "the disk is full", "free disk space on the server"),
        Health::Unavailable => Check::wrong(NAME, "no answer", "check that Postgres is running"),
        Health::SchemaBehind if !server.has_schema && part.migrates_on_start => {
            Check::ok(NAME, "new database: `serve` creates the schema")
        }
        Health::SchemaBehind if !server.has_schema => {
            Check::warn(NAME, "new database without a schema", MIGRATE)
        }
        Health::SchemaBehind if part.migrates_on_start => Check::warn(
            NAME,
            "the schema is older than this version: `serve` brings it up to date at its start",
            MIGRATE,
        ),
        Health::SchemaBehind => {
            Check::wrong(NAME, "the schema is older than this version", MIGRATE)
        }
    }
}

fn check_version(server: &ServerInfo) -> Option<Check> {
    (server.version < MIN_VERSION).then(|| {
        let text = format!("Postgres {} is not supported", server.version_text);
        Check::wrong("database version", text, "upgrade to Postgres 14 or newer")
    })
}

/// An owner can disable the triggers that protect the evidence, so a role of its own is better.
fn check_role(part: &DatabasePart, server: &ServerInfo, is_live: bool) -> Check {
    const NAME: &str = "database role";
    let role = &server.role;
    if !server.unusable.is_empty() {
        let tables = server.unusable.join(", ");
        return Check::wrong(
            NAME,
            format!("{role} may not read or insert: {tables}"),
            "run deploy/roles.sql as the owner of the tables",
        );
    }
    if server.changeable.is_empty() {
        return Check::ok(NAME, format!("{role} can insert evidence and not change it"));
    }
    let text = format!("{role} could change evidence ({})", server.changeable.join(", "));
    if part.is_embedded || !is_live {
        let text = format!("{text}; for a live key use the role of deploy/roles.sql");
        return Check::ok(NAME, text);
    }
    Check::warn(NAME, text, "log in with the role that deploy/roles.sql creates")
}
