//! Checks of the settings and of every dependency, each with a remedy. `doctor` prints them.
//!
//! | file | checks |
//! |---|---|
//! | `database` | server, role, schema |
//! | `activity` | last event, reconciliation, bounce; what waits for a person; today's emails |
//! | `stripe` | key, API versions, permissions |
//! | `endpoint` | the webhook endpoint at Stripe, which `endpoint ensure` creates |
//! | `clock` | database, Stripe and this machine |
//! | `relay` | connection, TLS, login; the DKIM key |
//! | `dns` | SPF, DKIM, DMARC |
//! | `wording` | copy rules, disclaimers, approvals |
//! | `public_url` | whether it reaches the service |
//!
//! A check reads. It sends no email, and changes nothing at Stripe and nothing in the database.

mod activity;
mod clock;
mod database;
mod dns;
pub mod endpoint;
mod public_url;
mod relay;
mod stripe;
mod wording;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use url::Url;

use crate::clock::Clock;
use crate::flow::email;
use crate::flow::webhook::SecretId;
use crate::mail::RelaySettings;
use crate::stripe::Client;

pub use database::DatabasePart;
pub use wording::WordingPart;

/// For all that is asked of one other side: much longer than healthy answers take.
const MAX_WAIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Ok,
    /// It works, and something should be done.
    Warn,
    /// Something does not work.
    Wrong,
    /// It could not be checked.
    Skipped,
}

#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: String,
    pub status: CheckStatus,
    /// What was found.
    pub text: String,
    pub remedy: Option<String>,
}

impl Check {
    pub fn ok(name: &str, text: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, text.into(), None)
    }

    pub fn warn(name: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Warn, text.into(), Some(remedy.into()))
    }

    pub fn wrong(name: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Wrong, text.into(), Some(remedy.into()))
    }

    pub fn skipped(name: &str, why: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Skipped, format!("not checked: {}", why.into()), None)
    }

    /// For what the text already says how to fix.
    #[must_use]
    pub fn without_remedy(self) -> Self {
        Self { remedy: None, ..self }
    }

    fn new(name: &str, status: CheckStatus, text: String, remedy: Option<String>) -> Self {
        Self { name: name.to_owned(), status, text, remedy }
    }
}

/// What is checked. A part that is `None` is left out: its settings are wrong, or it cannot be
/// opened.
#[derive(Clone, Debug)]
pub struct CheckParts {
    pub clock: Clock,
    pub database: Option<DatabasePart>,
    /// The names of the webhook secrets, in the order of the setting.
    pub webhook_secrets: Vec<SecretId>,
    pub stripe: Option<Client>,
    pub email: Option<email::Settings>,
    pub relay: Option<RelaySettings>,
    /// `Err`: why the templates or the disclaimers cannot be used.
    pub wording: Option<Result<Arc<WordingPart>, String>>,
    /// `Some(None)`: not set.
    pub public_url: Option<Option<Url>>,
}

impl CheckParts {
    /// Whether real merchants get emails.
    fn is_live(&self) -> bool {
        self.stripe.as_ref().and_then(Client::livemode) == Some(true)
    }
}

/// Checks that are made together, in the order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::VariantArray)]
pub enum Group {
    Database,
    Stripe,
    Clock,
    Relay,
    Dns,
    Wording,
    PublicUrl,
}

impl Group {
    /// What is looked at, for a person who waits; `None` if it takes no time.
    pub fn looks_at(self, parts: &CheckParts) -> Option<String> {
        match self {
            Self::Database => parts.database.as_ref().map(|_| "the database".to_owned()),
            Self::Stripe => Some(format!("Stripe at {}", parts.stripe.as_ref()?.api_base())),
            Self::Relay => Some(format!("the relay {}", parts.relay.as_ref()?.url)),
            Self::Dns => parts.email.as_ref().map(|_| "DNS".to_owned()),
            Self::PublicUrl => Some(parts.public_url.as_ref()?.as_ref()?.to_string()),
            // Takes the longest in a debug build.
            Self::Wording => parts.wording.as_ref().map(|_| "the wording of emails".to_owned()),
            Self::Clock => None,
        }
    }
}

/// Runs all checks.
pub async fn run_checks(parts: &CheckParts) -> Vec<Check> {
    let mut groups = BTreeMap::new();
    run_each(parts, |group, checks| {
        groups.insert(group, checks);
    })
    .await;
    groups.into_values().flatten().collect()
}

/// Runs all checks at the same time, and reports each group when it ends.
pub async fn run_each(parts: &CheckParts, done: impl FnMut(Group, Vec<Check>) + Send) {
    let done = Mutex::new(done);
    let report = |group, checks| (done.lock())(group, checks);
    let tells_the_time = async {
        tokio::join!(
            async { report(Group::Database, Box::pin(database::check(parts)).await) },
            async { report(Group::Stripe, Box::pin(stripe::check(parts)).await) },
        );
        let clock = parts.stripe.as_ref().map(|_| clock::check(&parts.clock));
        report(Group::Clock, clock.into_iter().collect());
    };
    tokio::join!(
        tells_the_time,
        async { report(Group::Relay, Box::pin(relay::check(parts)).await) },
        async { report(Group::Dns, Box::pin(dns::check(parts)).await) },
        async { report(Group::Wording, Box::pin(wording::check(parts)).await) },
        async {
            let public_url = Box::pin(public_url::check(parts)).await;
            report(Group::PublicUrl, public_url.into_iter().collect());
        },
    );
}

/// `2 problems, 1 warning`
pub fn summary(checks: &[Check]) -> String {
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let counted = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    };
    let (problems, warnings) = (count(CheckStatus::Wrong), count(CheckStatus::Warn));
    let skipped = match count(CheckStatus::Skipped) {
        0 => String::new(),
        skipped => format!(", {skipped} not checked"),
    };
    if problems + warnings == 0 {
        return format!("everything that was checked is right{skipped}");
    }
    format!("{}, {}{skipped}", counted(problems, "problem"), counted(warnings, "warning"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_problems_and_warnings() {
        let [ok, warn, wrong, skipped] = [
            Check::ok("a", "b"),
            Check::warn("a", "b", "c"),
            Check::wrong("a", "b", "c"),
            Check::skipped("a", "b"),
        ];
        assert_eq!(summary(std::slice::from_ref(&ok)), "everything that was checked is right");
        assert_eq!(summary(&[ok, wrong.clone(), wrong.clone()]), "2 problems, 0 warnings");
        assert_eq!(summary(&[wrong, warn, skipped]), "1 problem, 1 warning, 1 not checked");
    }
}
