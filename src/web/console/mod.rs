//! The console: pages for operators on `ops.listen`, at `/console`.
//!
//! Pages are rendered here and work without scripts; they load one style sheet and one small script
//! of ours and nothing else. They cannot be framed and are never cached. What a page reads comes
//! from the store of the subject; what it does goes through `operators`, as the command line does,
//! so that each act is recorded once, with who, when and why.
//!
//! | file | owns |
//! |---|---|
//! | `access` | tokens, roles, and who may be reached by which request |
//! | `session` | `console_sessions` and the cookie |
//! | `sign_in` | signing in and out |
//! | `pages` | one file per page: its route, its view and the name of its template |
//! | `render` | templates, headers, filters |
//! | `problem` | what a page says instead |
//! | `remedy` | remedies in the console's terms |

mod access;
mod pages;
mod problem;
mod remedy;
mod render;
mod session;
mod sign_in;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get};
use secrecy::SecretString;
use url::Url;

use crate::checks::CheckParts;
use crate::clock::Clock;
use crate::database::Pool;
use crate::http::rate::Rate;
use crate::letters::lint::Rules;
use crate::letters::wording::{Disclaimer, Writer};
use crate::queue::Circuit;
use crate::telemetry::LogLimit;
use access::Seal;
use problem::Problem;
use render::ConsoleTemplates;

pub use access::{UserHeader, UserHeaderError};

/// The settings of the console.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The acting role.
    pub token: Option<SecretString>,
    /// The role that sees everything and changes nothing.
    pub read_only_token: Option<SecretString>,
    /// Believed only beside a valid `Authorization: Bearer`.
    pub user_header: Option<UserHeader>,
    /// Every setting, for people to read.
    pub in_force: Vec<SettingInForce>,
}

/// A setting as it is in force.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SettingInForce {
    /// `section.key`
    pub key: String,
    /// `set` or empty if it is a secret.
    pub value: String,
    pub is_secret: bool,
    /// The variable or the file that set it; `None`: the default.
    pub source: Option<String>,
}

/// The words of emails, for the page that shows them.
#[derive(Clone, Debug)]
pub struct Wordings {
    pub writer: Arc<Writer>,
    pub disclaimers: Vec<Disclaimer>,
    pub rules: Arc<Rules>,
    /// Of a sample account; `None` where merchants unsubscribe by email only.
    pub unsubscribe_link: Option<Url>,
}

/// What the pages work with.
#[derive(Clone, Debug)]
pub struct Console {
    pub db: Pool,
    pub clock: Clock,
    pub wordings: Wordings,
    /// The circuits of this process to Stripe and to the relay.
    pub circuits: Vec<Circuit>,
    /// What the checks look at.
    pub checks: Arc<CheckParts>,
    pub settings: Settings,
}

/// Log messages that anyone can cause.
static LIMITED: LogLimit = LogLimit::new();

#[derive(Clone)]
struct ConsoleState {
    console: Arc<Console>,
    templates: Arc<ConsoleTemplates>,
    limits: AttemptLimits,
    funnel: pages::FunnelCounts,
    checks: pages::LastChecks,
    /// Not derived from the token: people behind a proxy see what it seals.
    bearer_seal: Seal,
}

/// Limits on attempts to prove who one is.
#[derive(Clone)]
struct AttemptLimits {
    /// Sign-ins per client.
    sign_in: Rate,
    all_sign_ins: Rate,
    /// Requests with a bearer per client: slow for a guess, ample for a person behind a proxy.
    bearer: Rate,
}

impl AttemptLimits {
    fn new(clock: &Clock) -> Self {
        const PER_CLIENT: NonZeroU32 = NonZeroU32::new(5).unwrap();
        const IN_TOTAL: NonZeroU32 = NonZeroU32::new(20).unwrap();
        Self {
            sign_in: Rate::one_in(Duration::from_secs(12), PER_CLIENT, clock.clone()),
            all_sign_ins: Rate::one_in(Duration::from_secs(3), IN_TOTAL, clock.clone()),
            bearer: Rate::per_second(20, clock.clone()),
        }
    }
}

/// The routes. Fails if a template does not compile.
pub fn router(console: Console) -> Result<Router, minijinja::Error> {
    let limits = AttemptLimits::new(&console.clock);
    let state = ConsoleState {
        console: Arc::new(console),
        templates: Arc::new(ConsoleTemplates::new()?),
        limits,
        funnel: pages::FunnelCounts::default(),
        checks: pages::LastChecks::default(),
        bearer_seal: Seal::new(&rand::random::<[u8; 32]>()),
    };
    Ok(Router::new()
        .route("/console", get(async || Redirect::to(pages::FIRST)))
        .route("/console/", get(async || Redirect::to(pages::FIRST)))
        .route("/console/{*path}", any(unknown))
        .merge(sign_in::routes())
        .merge(pages::routes())
        .merge(render::files())
        .layer(map_response_with_state(state.clone(), render::finish))
        .with_state(state))
}

/// What `/console` answers where no token is set.
pub fn switched_off() -> Router {
    let answer = async || {
        let sentence = "The console is switched off: set ops.token to switch it on.\n";
        (StatusCode::NOT_FOUND, sentence).into_response()
    };
    Router::new().route("/console", any(answer)).route("/console/{*path}", any(answer))
}

async fn unknown() -> Problem {
    Problem::NotFound("This page".to_owned())
}
