//! Stripe: whether it accepts the key and the API versions, what the key may read, and the webhook
//! endpoint.

use super::{Check, CheckParts, CheckStatus, MAX_WAIT, endpoint};
use crate::stripe::{Client, Error, PERMISSIONS, Permission, Permitted};
use crate::telemetry::chain;
use tokio::time::Instant;

const NAME: &str = "Stripe";
const PERMISSIONS_NAME: &str = "permissions";

pub(super) async fn check(parts: &CheckParts) -> Vec<Check> {
    let Some(stripe) = &parts.stripe else { return Vec::new() };
    let stripe = stripe.interactive();
    let until = Instant::now() + MAX_WAIT;
    let key = check_key(&stripe).await;
    if key.status != CheckStatus::Ok {
        // Every other call would fail in the same way.
        return vec![key, Check::skipped("webhook endpoint", "see `Stripe` above")];
    }
    let others = async {
        tokio::join!(
            check_permissions(&stripe),
            check_embedded_version(&stripe),
            endpoint::check(&stripe, parts.public_url.as_ref()),
        )
    };
    let mut checks = vec![key];
    if let Ok((permissions, version, registered)) = tokio::time::timeout_at(until, others).await {
        checks.extend(permissions);
        checks.extend(version);
        checks.extend(registered);
    } else {
        let text = format!("Stripe did not answer everything within {} s", MAX_WAIT.as_secs());
        checks.push(Check::warn(
            PERMISSIONS_NAME,
            text,
            "check the network path, and run it again",
        ));
    }
    checks
}

async fn check_key(stripe: &Client) -> Check {
    let mode = if stripe.livemode() == Some(true) { "live" } else { "test" };
    match tokio::time::timeout(MAX_WAIT, stripe.probe()).await {
        Ok(Ok(_)) => {
            let version = stripe.api_version().unwrap_or("the account's default");
            let base = stripe.api_base();
            Check::ok(NAME, format!("accepts the key, {mode} mode, API version {version}, {base}"))
        }
        Ok(Err(error)) => Check::wrong(NAME, chain(&error), key_remedy(&error)),
        Err(_) => {
            let text =
                format!("{} did not answer within {} s", stripe.api_base(), MAX_WAIT.as_secs());
            Check::wrong(NAME, text, "check the network path to stripe.api_base")
        }
    }
}

fn key_remedy(error: &Error) -> String {
    if error.is_outage() {
        return "check the network path to stripe.api_base, and https://status.stripe.com"
            .to_owned();
    }
    let message = error.message().unwrap_or_default();
    match error.key_problem() {
        Some(problem) => problem.to_owned(),
        None if message.contains("API version") => {
            "Stripe refuses stripe.api_version: correct it, or empty it for the account's default \
             version"
                .to_owned()
        }
        None => "check STRIPE_API_KEY, that Capital is enabled for the platform, and that the key \
                 may read offers"
            .to_owned(),
    }
}

/// Tries each permission. A line for each one that is missing, and one for the others.
async fn check_permissions(stripe: &Client) -> Vec<Check> {
    // Without the list of accounts there is none to try the others with.
    let account = stripe.any_account().await.ok().flatten();
    let mut checks = Vec::new();
    let (mut granted, mut untried) = (Vec::new(), Vec::new());
    for permission in &PERMISSIONS {
        match stripe.is_permitted(permission, account.as_ref()).await {
            Ok(Permitted::Yes) => granted.push(permission.name),
            Ok(Permitted::NotTried) => untried.push(permission.name),
            Ok(Permitted::No(name)) => checks.push(missing(permission, name)),
            Err(error) => checks.push(Check::skipped(
                PERMISSIONS_NAME,
                format!("{}: {}", permission.name, error.message().unwrap_or(&chain(&error))),
            )),
        }
    }
    if !granted.is_empty() {
        let found = format!("may read offers, {}", granted.join(", "));
        checks.insert(0, Check::ok(PERMISSIONS_NAME, found));
    }
    if !untried.is_empty() {
        let found = format!("{}: no connected account to try it with", untried.join(", "));
        checks.push(Check::skipped(PERMISSIONS_NAME, found));
    }
    checks
}

fn missing(permission: &Permission, stripes_name: Option<String>) -> Check {
    let Permission { name, needed_for, is_essential, .. } = permission;
    let text = format!("the key may not read {name}, which are needed for {needed_for}");
    let stripes_name = stripes_name.map(|name| format!(" ({name})")).unwrap_or_default();
    let remedy = format!(
        "grant it{stripes_name} at https://dashboard.stripe.com/apikeys; .env.example lists all \
         permissions"
    );
    if *is_essential {
        Check::wrong(PERMISSIONS_NAME, text, remedy)
    } else {
        Check::warn(PERMISSIONS_NAME, text, remedy)
    }
}

/// Only the embedded components use this version.
async fn check_embedded_version(stripe: &Client) -> Option<Check> {
    let error = stripe.probe_embedded_version().await.err()?;
    let text = error.message().map_or_else(|| chain(&error), str::to_owned);
    let remedy = "embedded components do not work: correct stripe.embedded_version, or ask Stripe \
                  for the preview; without such components, ignore this";
    Some(Check::warn("embedded version", text, remedy))
}
