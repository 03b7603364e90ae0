//! Whether `http.public_url` leads to the service, as seen from this machine.

use std::time::Duration;

use url::Url;

use super::{Check, CheckParts};
use crate::http::client;
use crate::telemetry::chain;

const NAME: &str = "public URL";
const TIMEOUT: Duration = Duration::from_secs(5);
/// A router may not lead a machine back to its own public address.
const REMEDY: &str = "run `curl <http.public_url>/livez` from another network: it must print \
                      {\"status\":\"alive\"} while `serve` runs";

pub(super) async fn check(parts: &CheckParts) -> Option<Check> {
    match parts.public_url.as_ref()? {
        Some(url) => Some(reach(url).await),
        // An error in the settings already.
        None if parts.is_live() => None,
        None => Some(Check::warn(
            NAME,
            "not set: there is no Capital section, and emails have no unsubscribe link",
            "set http.public_url to the address at which merchants and Stripe reach http.listen",
        )),
    }
}

async fn reach(public_url: &Url) -> Check {
    let mut url = public_url.clone();
    url.set_path(&format!("{}/livez", url.path().trim_end_matches('/')));
    match get(url).await {
        Ok((200, body)) if body.contains("alive") => {
            Check::ok(NAME, format!("{public_url} leads to a running service"))
        }
        Ok((status, _)) => Check::warn(
            NAME,
            format!("{public_url} answers {status}, and not as this service does"),
            REMEDY,
        ),
        Err(error) => {
            let text = format!("{public_url} cannot be reached from here: {}", chain(&error));
            Check::warn(NAME, text, REMEDY)
        }
    }
}

async fn get(url: Url) -> Result<(u16, String), reqwest::Error> {
    let client = client::builder(TIMEOUT).build()?;
    let response = client.get(url).send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}
