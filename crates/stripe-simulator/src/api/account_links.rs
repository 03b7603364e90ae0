//! Account Links (<https://docs.stripe.com/api/account_links>).
//!
//! A link is made only where it leads somewhere: to an application for a delivered offer that is
//! open, or to a report on what was applied for. What Stripe answers otherwise is not documented.
//! Here it is an error about `account`.

use serde_json::json;
use url::Url;

use super::caller::{Outcome, require_platform};
use crate::engine::Engine;
use crate::http::request::{ApiRequest, Parameters};
use crate::http::response::ApiResponse;
use crate::state::State;
use crate::state::account_link::{AccountLink, LIFETIME, LinkType};

const PARAMETERS: [&str; 6] =
    ["account", "type", "refresh_url", "return_url", "collect", "collection_options[*]"];

pub(super) fn create(engine: &Engine, request: &ApiRequest) -> Outcome {
    request.query.refuse_unknown(&[])?;
    let form = request.form();
    form.refuse_unknown(&[&PARAMETERS])?;
    let (now, mut state) = (engine.time.now(), engine.state());
    require_platform(&state, request)?;
    let link = AccountLink {
        account: required(&form, "account")?.to_owned(),
        kind: link_type(required(&form, "type")?)?,
        refresh_url: url(&form, "refresh_url", state.livemode)?,
        return_url: url(&form, "return_url", state.livemode)?,
        expires_at: now + LIFETIME,
        is_opened: false,
    };
    connected(&state, &link.account)?;
    if link.kind.offer(&state.offers, &link.account, now).is_none() {
        let message = match link.kind {
            LinkType::Application => {
                "This account has no delivered financing offer that is open. Mark its offer as \
                 delivered before you create a link to the application."
            }
            LinkType::Reporting => "This account has no financing to report on.",
        };
        return Err(ApiResponse::invalid_request(None, message).about("account"));
    }
    let secret = hex::encode(rand::random::<[u8; 16]>());
    let response = ApiResponse::ok(json!({
        "object": "account_link", "created": now.timestamp(),
        "expires_at": link.expires_at.timestamp(),
        "url": link_url(engine, &secret),
    }));
    state.links.insert(secret, link);
    Ok(response)
}

fn link_url(engine: &Engine, secret: &str) -> String {
    let mut url = engine.page_origin();
    url.set_path(&format!("/_connect/capital/{secret}"));
    url.into()
}

/// Refuses an account that is none of the platform's.
pub(super) fn connected(state: &State, account: &str) -> Result<(), ApiResponse> {
    if state.accounts.is_connected(account) {
        return Ok(());
    }
    let message = format!("No such account: '{account}'");
    let error = ApiResponse::invalid_request(Some("resource_missing"), &message);
    Err(error.about("account"))
}

pub(super) fn required<'a>(form: &'a Parameters, name: &str) -> Result<&'a str, ApiResponse> {
    form.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        let message = format!("Missing required param: {name}.");
        ApiResponse::invalid_parameter(Some("parameter_missing"), &message, name)
    })
}

fn link_type(name: &str) -> Result<LinkType, ApiResponse> {
    match name {
        "capital_financing_offer" => Ok(LinkType::Application),
        "capital_financing_reporting" => Ok(LinkType::Reporting),
        other => {
            let message = format!(
                "Invalid type: {other}. The simulator knows capital_financing_offer and \
                 capital_financing_reporting."
            );
            Err(ApiResponse::invalid_parameter(None, &message, "type"))
        }
    }
}

/// Stripe takes URLs without TLS in test mode alone.
fn url(form: &Parameters, name: &str, livemode: bool) -> Result<String, ApiResponse> {
    let invalid = |message| ApiResponse::invalid_parameter(Some("url_invalid"), message, name);
    let url = Url::parse(required(form, name)?).map_err(|_| invalid("Not a valid URL"))?;
    match url.scheme() {
        "https" => Ok(url.into()),
        "http" if !livemode => Ok(url.into()),
        "http" => Err(invalid("Livemode requests must always be redirected via HTTPS.")),
        _ => Err(invalid("Not a valid URL")),
    }
}
