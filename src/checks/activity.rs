//! What the service did: the newest event, reconciliation and bounce, what waits for a person, and
//! the emails of today.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::Check;
use crate::database::Pool;
use crate::flow::inbox;
use crate::flow::webhook::SecretId;
use crate::format::locale::start_of_day;
use crate::mail::sending_rate::SendingLimits;
use crate::maintenance::reconcile;
use crate::operators::attention;
use crate::telemetry::chain;
use crate::{feedback, letters};

/// Stripe creates offers daily. After a day without events the endpoint, or `stripe listen`, may be
/// gone.
const MAX_SILENCE: TimeDelta = TimeDelta::hours(24);

pub(super) async fn check(
    db: &Pool,
    (limits, secrets): (Option<&SendingLimits>, &[SecretId]),
    now: DateTime<Utc>,
) -> Vec<Check> {
    let mut checks = vec![
        ("last event", last_event(db, now).await),
        ("reconciliation", last_reconciliation(db, now).await),
        ("last bounce", last_bounce(db).await),
        ("attention", waiting(db, now).await),
    ];
    if !secrets.is_empty() {
        checks.push(("webhook secrets", signing_secrets(db, secrets, now).await));
    }
    if let Some(limits) = limits {
        checks.push(("emails", sent_today(db, limits, now).await));
    }
    let read = |(name, check): (&str, sqlx::Result<Check>)| {
        check.unwrap_or_else(|error| {
            Check::wrong(name, chain(&error), "see the log of Postgres, and its privileges")
        })
    };
    checks.into_iter().map(read).collect()
}

async fn last_event(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<Check> {
    const REMEDY: &str = "run `capital-courier endpoint check`, or `stripe listen` in test mode";
    let last = inbox::store::last_received(db).await?;
    Ok(recent("last event", last, now, REMEDY))
}

async fn last_reconciliation(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<Check> {
    const REMEDY: &str = "look for `reconciliation is incomplete` in the log, or run \
                          `capital-courier reconcile`";
    let last = reconcile::store::last_complete(db, now).await?;
    Ok(recent("reconciliation", last, now, REMEDY))
}

fn recent(
    name: &'static str,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    remedy: &'static str,
) -> Check {
    match last {
        Some(at) if now - at < MAX_SILENCE => Check::ok(name, minute(at)),
        Some(at) => Check::warn(name, format!("{}, more than a day ago", minute(at)), remedy),
        None => Check::warn(name, "never", remedy),
    }
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Bounces are rare, so their age means nothing. None at all may mean that they are not delivered
/// to the service.
async fn last_bounce(db: &Pool) -> sqlx::Result<Check> {
    const NAME: &str = "last bounce";
    const REMEDY: &str = "route bounces and complaints to /inbound or to `capital-courier bounce`: \
                          see docs/operations.md";
    Ok(match feedback::find_last(db).await? {
        Some((at, channel)) => Check::ok(NAME, format!("{}, by {channel}", minute(at))),
        None => Check::warn(NAME, "never", REMEDY),
    })
}

/// Which of the secrets signed the last events: during a rotation, the old one can go once only the
/// new one does.
async fn signing_secrets(
    db: &Pool,
    secrets: &[SecretId],
    now: DateTime<Utc>,
) -> sqlx::Result<Check> {
    let signers = inbox::store::signers(db).await?;
    let describe = |(position, secret): (usize, &SecretId)| {
        let last = signers.iter().find(|(id, _)| id == secret.as_str());
        let last = last.map_or_else(
            || "signed none of the last events".to_owned(),
            |(_, at)| format!("signed one {} min ago", (now - *at).num_minutes()),
        );
        format!("number {} ({}) {last}", position + 1, secret.as_str())
    };
    let found: Vec<String> = secrets.iter().enumerate().map(describe).collect();
    Ok(Check::ok("webhook secrets", found.join("; ")))
}

/// What waits for a person, as `attention` lists it.
async fn waiting(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<Check> {
    const NAME: &str = "attention";
    let groups = attention::read(db, now, 1).await?;
    if groups.is_empty() {
        return Ok(Check::ok(NAME, "nothing waits for a person"));
    }
    let found: Vec<String> = groups.iter().map(attention::sentence).collect();
    Ok(Check::warn(NAME, found.join("; "), "run `capital-courier attention`"))
}

/// Emails sent today, with the limits.
async fn sent_today(db: &Pool, limits: &SendingLimits, now: DateTime<Utc>) -> sqlx::Result<Check> {
    let today = now.date_naive();
    let sent = letters::store::sent_since(db, start_of_day(today, Tz::UTC)).await?;
    let max_today = limits.warm_up.and_then(|warm_up| warm_up.letters_on(today));
    let warm_up = max_today.map(|max| format!(" of {max} (warm-up)")).unwrap_or_default();
    let rates = [
        (u64::from(limits.max_per_second), "per second"),
        (u64::from(limits.max_per_minute), "per minute"),
        (limits.max_per_domain as u64, "at a time per domain"),
    ];
    let rates = rates.iter().filter(|(max, _)| *max > 0);
    let rates: Vec<String> = rates.map(|(max, unit)| format!(", max. {max} {unit}")).collect();
    Ok(Check::ok("emails", format!("{sent}{warm_up} sent today{}", rates.concat())))
}
