//! Pages for a browser: the simulated Stripe Dashboard, the pages that Account Links open, and a
//! stand-in for the platform's own dashboard. They need no key.
//!
//! | file | owns |
//! |---|---|
//! | `dashboard` | the simulated Stripe Dashboard |
//! | `time_lapse` | days, weeks and a year of a merchant, while the browser waits |
//! | `account_link` | what an Account Link opens |
//! | `platform` | the stand-in for the platform's dashboard |

mod account_link;
mod dashboard;
mod platform;
mod time_lapse;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{Environment, UndefinedBehavior};

use crate::engine::Engine;
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;

pub use platform::PlatformDashboard;

const TEMPLATES: [(&str, &str); 4] = [
    ("layout.html", include_str!("../../templates/layout.html")),
    (ACCOUNT_LINK, include_str!("../../templates/account_link.html")),
    (DASHBOARD, include_str!("../../templates/dashboard.html")),
    (MERCHANTS, include_str!("../../templates/merchants.html")),
];
const ACCOUNT_LINK: &str = "account_link.html";
const DASHBOARD: &str = "dashboard.html";
const MERCHANTS: &str = "merchants.html";

/// What the pages know besides Stripe's objects.
#[derive(Default)]
pub(crate) struct Pages {
    platform: Mutex<Option<PlatformDashboard>>,
    /// One time lapse at a time: two would move the clock under each other.
    time_lapse_is_running: AtomicBool,
}

impl Pages {
    pub(crate) fn set_platform(&self, platform: PlatformDashboard) {
        *self.platform.lock().unwrap_or_else(PoisonError::into_inner) = Some(platform);
    }

    fn platform(&self) -> Option<PlatformDashboard> {
        self.platform.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The page at a path; none if the path is no page's.
pub(crate) fn respond(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    request: &ApiRequest,
) -> Option<ApiResponse> {
    let path = request.segments();
    let response = match (request.method.as_str(), path.as_slice()) {
        ("GET", ["_simulator"]) => {
            dashboard::show(engine, pages, request.query.get("notice").unwrap_or_default())
        }
        ("POST", ["_simulator", "page", subject, id, action]) => {
            dashboard::submit(engine, pages, (subject, id, action), &request.form())
        }
        ("GET", ["_connect", "capital", secret]) => account_link::open(engine, secret),
        ("POST", ["_connect", "capital", secret, "apply"]) => account_link::apply(engine, secret),
        (_, ["_connect", ..]) => ApiResponse::html(404, "There is no such page.".to_owned()),
        ("GET", ["dashboard"]) => platform::choose(engine),
        ("GET", ["dashboard", account]) => platform::enter(engine, pages, account),
        _ => return None,
    };
    Some(response)
}

fn render(template: &str, context: minijinja::Value) -> ApiResponse {
    let rendered = || {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, text) in TEMPLATES {
            templates.add_template(name, text)?;
        }
        templates.get_template(template)?.render(context)
    };
    rendered().map_or_else(
        |error: minijinja::Error| ApiResponse::html(500, error.to_string()),
        |page| ApiResponse::html(200, page),
    )
}

/// `1,234.50 USD`. All of Capital's currencies have two decimals.
fn format_amount(minor: i64, currency: &str) -> String {
    let digits = (minor / 100).unsigned_abs().to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{grouped}.{:02} {}", (minor % 100).abs(), currency.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::format_amount;

    #[test]
    fn amounts_are_formatted_for_people() {
        let all = [123_456_789, 5, -12_345, 100_000].map(|minor| format_amount(minor, "usd"));
        assert_eq!(all, ["1,234,567.89 USD", "0.05 USD", "-123.45 USD", "1,000.00 USD"]);
    }
}
