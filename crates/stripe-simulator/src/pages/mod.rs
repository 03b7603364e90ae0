//! Pages for a browser: the simulated Stripe Dashboard, the pages that Account Links open, and a
//! stand-in for the platform's own dashboard. They need no key.
//!
//! | file | owns |
//! |---|---|
//! | `dashboard` | the simulated Stripe Dashboard |
//! | `story` | the story line of an offer |
//! | `buttons` | what each button says, and why it is not possible |
//! | `situation` | what is possible for an account now |
//! | `press` | what each button does |
//! | `time_lapse` | days that pass in a moment |
//! | `trouble` | switches that make things fail |
//! | `account_link` | what an Account Link opens |
//! | `platform` | the stand-in for the platform's dashboard |

mod account_link;
mod buttons;
mod dashboard;
mod platform;
mod press;
mod situation;
mod story;
mod time_lapse;
mod trouble;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::{Environment, UndefinedBehavior};

use crate::engine::Engine;
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;

use self::dashboard::Pressed;
use self::time_lapse::Progress;

pub use platform::PlatformDashboard;
pub use trouble::Trouble;

const TEMPLATES: [(&str, &str); 4] = [
    ("layout.html", include_str!("../../templates/layout.html")),
    (ACCOUNT_LINK, include_str!("../../templates/account_link.html")),
    (DASHBOARD, include_str!("../../templates/dashboard.html")),
    (MERCHANTS, include_str!("../../templates/merchants.html")),
];
const ACCOUNT_LINK: &str = "account_link.html";
const DASHBOARD: &str = "dashboard.html";
const MERCHANTS: &str = "merchants.html";
const STYLE: &str = include_str!("../../templates/style.css");
const SCRIPT: &str = include_str!("../../templates/script.js");

/// Finds the address at which an account's merchant unsubscribes.
pub(crate) type UnsubscribeLink = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
/// Returns once the platform has processed what it got.
pub(crate) type Settle = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What the host connects to the pages.
#[derive(Clone, Default)]
struct Host {
    platform: Option<PlatformDashboard>,
    troubles: Vec<Trouble>,
    unsubscribe_link: Option<UnsubscribeLink>,
    settle: Option<Settle>,
}

/// What the pages know besides Stripe's objects.
#[derive(Default)]
pub(crate) struct Pages {
    host: Mutex<Host>,
    /// The time lapse that runs, if one does.
    lapse: Mutex<Option<Progress>>,
}

impl Pages {
    pub(crate) fn set_platform(&self, platform: PlatformDashboard) {
        self.with_host(|host| host.platform = Some(platform));
    }

    pub(crate) fn set_troubles(&self, troubles: Vec<Trouble>) {
        self.with_host(|host| host.troubles = troubles);
    }

    pub(crate) fn set_unsubscribe_link(&self, find: UnsubscribeLink) {
        self.with_host(|host| host.unsubscribe_link = Some(find));
    }

    pub(crate) fn set_settle(&self, settle: Settle) {
        self.with_host(|host| host.settle = Some(settle));
    }

    /// A copy, so that no lock is held while the host's functions run.
    fn host(&self) -> Host {
        self.with_host(|host| host.clone())
    }

    fn lapse(&self) -> MutexGuard<'_, Option<Progress>> {
        self.lapse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_host<T>(&self, read: impl FnOnce(&mut Host) -> T) -> T {
        read(&mut self.host.lock().unwrap_or_else(PoisonError::into_inner))
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
        ("GET", ["_simulator"]) => dashboard::show(engine, pages, &request.query),
        ("GET", ["_simulator", "pulse"]) => dashboard::pulse(engine, pages),
        ("GET", ["_simulator", "style.css"]) => ApiResponse::asset("text/css", STYLE),
        ("GET", ["_simulator", "script.js"]) => ApiResponse::asset("text/javascript", SCRIPT),
        ("POST", ["_simulator", "page", subject, id, action]) => {
            dashboard::submit(engine, pages, Pressed { subject, id, action }, request)
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
