//! The webhook endpoint that is registered at Stripe, and how to make it right.
//!
//! Capital's events belong to the platform, so the endpoint must not be a Connect endpoint
//! (<https://docs.stripe.com/capital/api-integration>).

use url::Url;

use super::{Check, CheckStatus};
use crate::stripe::{CAPITAL_EVENTS, Client, CreatedEndpoint, Error, WebhookEndpoint};
use crate::telemetry::chain;

const NAME: &str = "webhook endpoint";
const ENSURE: &str = "run `capital-courier endpoint ensure`";
const DASHBOARD: &str = "https://dashboard.stripe.com/webhooks";
/// Selects all event types except those that require explicit selection. Stripe does not say which
/// of the two Capital's are.
const ALL_EVENTS: &str = "*";

/// What [`ensure`] did.
#[derive(Clone, Debug)]
pub enum EnsuredEndpoint {
    Created(CreatedEndpoint),
    /// It was disabled, or lacked these event types.
    Updated {
        endpoint: WebhookEndpoint,
        was_disabled: bool,
        added: Vec<&'static str>,
    },
    Unchanged(WebhookEndpoint),
}

impl EnsuredEndpoint {
    pub fn endpoint(&self) -> &WebhookEndpoint {
        match self {
            Self::Created(created) => &created.endpoint,
            Self::Updated { endpoint, .. } | Self::Unchanged(endpoint) => endpoint,
        }
    }
}

/// The service's webhook below `http.public_url`.
pub fn webhook_url(public_url: &Url) -> Url {
    let mut url = public_url.clone();
    url.set_path(&format!("{}/webhooks/stripe", url.path().trim_end_matches('/')));
    url
}

/// Creates the endpoint, or enables it and adds the event types that it lacks. Never removes a type
/// and never changes another endpoint. A second call finds nothing to do.
pub async fn ensure(stripe: &Client, url: &Url) -> Result<EnsuredEndpoint, Error> {
    let registered = stripe.webhook_endpoints().await?;
    let Some(endpoint) = find(&registered, url) else {
        return stripe.create_webhook_endpoint(url).await.map(EnsuredEndpoint::Created);
    };
    let (was_disabled, added) = (!endpoint.is_enabled(), endpoint.missing_events());
    if !was_disabled && added.is_empty() {
        return Ok(EnsuredEndpoint::Unchanged(endpoint.clone()));
    }
    // Other types than Capital's are ignored, so the explicit list loses nothing of `*`.
    let kept = endpoint.enabled_events.iter().filter(|event| *event != ALL_EVENTS).cloned();
    let events: Vec<String> = kept.chain(added.iter().map(|event| (*event).to_owned())).collect();
    let endpoint = stripe.update_webhook_endpoint(&endpoint.id, &events).await?;
    Ok(EnsuredEndpoint::Updated { endpoint, was_disabled, added })
}

/// The platform's endpoint with this URL. An enabled one before a disabled one.
fn find<'a>(registered: &'a [WebhookEndpoint], url: &Url) -> Option<&'a WebhookEndpoint> {
    let mut ours = registered.iter().filter(|one| one.has_url(url) && !one.is_connect());
    let first = ours.clone().next();
    ours.find(|endpoint| endpoint.is_enabled()).or(first)
}

/// As a part of all checks, which do not insist on an endpoint in test mode.
pub(super) async fn check(stripe: &Client, public_url: Option<&Option<Url>>) -> Vec<Check> {
    let Some(public_url) = public_url else { return Vec::new() };
    let Some(public_url) = public_url else {
        let why = "http.public_url is not set; `stripe listen` needs no endpoint";
        return vec![Check::skipped(NAME, why)];
    };
    match stripe.webhook_endpoints().await {
        Ok(registered) => {
            let url = webhook_url(public_url);
            let mut checks = judge(&registered, &url, stripe.api_version());
            // In test mode `stripe listen` may stand in for an endpoint.
            if stripe.livemode() != Some(true) && find(&registered, &url).is_none() {
                checks.iter_mut().for_each(|check| check.status = CheckStatus::Warn);
            }
            checks
        }
        Err(error) if error.lacks_permission() => vec![Check::warn(
            NAME,
            "the key may not read webhook endpoints, so this one was not checked",
            format!("grant it (Webhook Endpoints: read), or look at {DASHBOARD}"),
        )],
        Err(error) => vec![Check::skipped(NAME, chain(&error))],
    }
}

/// One check for each property of the endpoint with this URL. `version` is the expected API version;
/// `None` if any will do.
pub fn judge(registered: &[WebhookEndpoint], url: &Url, version: Option<&str>) -> Vec<Check> {
    let Some(endpoint) = find(registered, url) else {
        return vec![not_registered(registered, url)];
    };
    let mut checks = vec![
        Check::ok(NAME, format!("{}: {url}, for the platform's own events", endpoint.id)),
        check_enabled(endpoint),
        check_events(endpoint),
        check_version(endpoint, version),
    ];
    checks.extend(check_others(registered, endpoint, url));
    checks
}

fn not_registered(registered: &[WebhookEndpoint], url: &Url) -> Check {
    let connect = registered.iter().find(|endpoint| endpoint.has_url(url));
    if let Some(endpoint) = connect {
        let text = format!(
            "{} gets the events of connected accounts, and Capital's belong to the platform",
            endpoint.id
        );
        return Check::wrong(NAME, text, ENSURE);
    }
    let text = format!("no endpoint is registered for {url}");
    Check::wrong(NAME, text, format!("{ENSURE}; in test mode `stripe listen` needs none"))
}

fn check_enabled(endpoint: &WebhookEndpoint) -> Check {
    const NAME: &str = "endpoint status";
    if endpoint.is_enabled() {
        Check::ok(NAME, "enabled")
    } else {
        let text = "disabled: Stripe sends nothing to it";
        Check::wrong(NAME, text, format!("{ENSURE}, then `capital-courier reconcile`"))
    }
}

fn check_events(endpoint: &WebhookEndpoint) -> Check {
    const NAME: &str = "endpoint events";
    let missing = endpoint.missing_events();
    let all = CAPITAL_EVENTS.len();
    if missing.is_empty() {
        return Check::ok(NAME, format!("all {all} event types of Capital"));
    }
    if endpoint.enabled_events.iter().any(|event| event == ALL_EVENTS) {
        let text = "`*`, which leaves out the event types that require explicit selection; Stripe \
                    does not say whether Capital's do";
        return Check::warn(NAME, text, format!("{ENSURE}, which selects the {all} types"));
    }
    let count = all - missing.len();
    Check::wrong(NAME, format!("{count} of {all}; missing: {}", missing.join(", ")), ENSURE)
}

/// Stripe cannot change the version of an endpoint.
fn check_version(endpoint: &WebhookEndpoint, expected: Option<&str>) -> Check {
    const NAME: &str = "endpoint version";
    let found = endpoint.api_version.as_deref();
    let text = found.unwrap_or("the account's default");
    match expected {
        None => Check::ok(NAME, text),
        Some(expected) if found == Some(expected) => Check::ok(NAME, text),
        Some(expected) => Check::warn(
            NAME,
            format!("{text}, and stripe.api_version is {expected}"),
            format!(
                "Stripe's API cannot change it: delete the endpoint at {DASHBOARD}, run \
                 `capital-courier endpoint ensure`, set the new secret, then run \
                 `capital-courier reconcile`"
            ),
        ),
    }
}

/// Further endpoints with the same URL.
fn check_others(
    registered: &[WebhookEndpoint],
    endpoint: &WebhookEndpoint,
    url: &Url,
) -> Option<Check> {
    let others = registered.iter().filter(|one| one.has_url(url) && one.id != endpoint.id);
    let ids: Vec<&str> = others.filter(|one| one.is_enabled()).map(|one| one.id.as_str()).collect();
    (!ids.is_empty()).then(|| {
        Check::warn(
            "other endpoints",
            format!("also registered for this URL: {}", ids.join(", ")),
            format!("events may arrive twice, which is harmless; delete the others at {DASHBOARD}"),
        )
    })
}
