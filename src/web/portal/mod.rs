//! What a merchant sees in a browser: the account's Capital section, and the page that stops the letters.
//!
//! ```text
//! the platform's dashboard ─▶ /capital?token=… ─▶ a session ─▶ /capital            where the financing stands
//!        signs a token          used up by that               /capital/statement   a month of it, to print or as CSV
//!                                                             /capital/apply       ─▶ Stripe, by a link made for this visit
//!                                                             /capital/report      ─▶ likewise
//! ```
//!
//! Pages work without a script, load nothing but the platform's logo, and are in nobody's frame and nobody's cache.

mod account_link;
mod response;
mod section;
mod session;
mod statement;
mod tenant;
mod token;
mod unsubscribe;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use url::Url;

use crate::clock::Clock;
use crate::database::{DatabaseHealth, Pool, with_timeout};
use crate::financing::Financings;
use crate::format::locale::Language;
use crate::http::rate::Rate;
use crate::letters::wording::Disclaimers;
use crate::stripe::AccountId;
use crate::telemetry::LogLimit;
use response::{Notice, Pages};
use session::Session;
use tenant::TenantQuery;
use token::Visit;

pub use account_link::rate_of_links;
pub use response::{BadColour, Brand};
pub use token::{Keys, NotAKey};
pub use unsubscribe::{Unsubscribe, rate_of_subscribing_again, router as unsubscribe_router};

/// What the Capital section was told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the dashboard's tokens are verified with.
    pub keys: Keys,
    /// The service's own address, as merchants reach it.
    pub public_url: Url,
    /// How long a visit lasts.
    pub session: Duration,
    /// Where Stripe sends a merchant whose link was too late; none: to where the link was made.
    pub refresh_url: Option<Url>,
    /// Where Stripe sends a merchant who is done; none: to the section.
    pub return_url: Option<Url>,
    /// The account's metadata that names its language.
    pub locale_metadata_key: String,
    /// How it looks.
    pub brand: Brand,
}

/// The Capital section.
#[derive(Clone, Debug)]
pub struct Portal {
    /// Where sessions and offers are.
    pub db: Pool,
    /// When a visit began.
    pub clock: Clock,
    /// Told of a database that gives nothing.
    pub database_health: DatabaseHealth,
    /// What is known of financings.
    pub financings: Financings,
    /// What must stand wherever Capital is spoken of.
    pub disclaimers: Disclaimers,
    /// How often each account's visitors are sent on to Stripe, by whichever session.
    pub links: Rate,
    /// What it was told.
    pub settings: Settings,
}

/// Lines that anyone, or any visitor, can cause.
static LINES: LogLimit = LogLimit::new();

#[derive(Clone)]
struct Shared(Arc<(Portal, Pages)>);

/// The routes. Fails where a page's template is wrong.
pub fn router(portal: Portal) -> Result<Router, minijinja::Error> {
    let pages = Pages::new(&portal.settings)?;
    let shared = Shared(Arc::new((portal, pages)));
    Ok(Router::new()
        .route("/capital", get(enter))
        .route("/capital/apply", get(account_link::apply))
        .route("/capital/report", get(account_link::report))
        .route("/capital/statement", get(statement::show))
        .route("/capital/statement.csv", get(statement::csv))
        .layer(map_response(response::keep_private))
        .with_state(shared))
}

/// A merchant with a session.
struct Visitor {
    account: AccountId,
    language: Language,
    refresh_mark: String,
}

/// Somebody who gets a notice instead of what was asked for.
#[derive(Clone, Copy)]
struct TurnedAway {
    notice: Notice,
    language: Language,
}

#[derive(serde::Deserialize)]
struct Entering {
    token: Option<String>,
    /// Movements older than this place.
    before: Option<String>,
    /// The tag of the account that the address is about.
    #[serde(rename = "for")]
    whose: Option<String>,
}

/// With a token: opens a session and takes the token out of the address. Without: shows the section.
async fn enter(
    State(shared): State<Shared>,
    TenantQuery(words): TenantQuery<Entering>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some(token) = words.token else {
        return match shared.visitor(&headers, words.whose.as_deref()).await {
            Ok(visitor) => section::show(&shared, &visitor, words.before.as_deref()).await,
            Err(away) => shared.turn(away),
        };
    };
    // Whoever only wants to know whether an address is there must not use a token up.
    if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    }
    let portal = &shared.0.0;
    match portal.settings.keys.read(&token, portal.clock.now()) {
        Ok(visit) => shared.let_in(&visit, &headers).await,
        Err(why) => {
            LINES.write("token", |suppressed| {
                tracing::warn!(log.suppressed = suppressed, %why, "a token of the dashboard opens nothing");
            });
            shared.refuse(response::liked_language(&headers).unwrap_or(Language::English))
        }
    }
}

impl Shared {
    /// Opens a session, and leads on to an address without the token.
    async fn let_in(&self, visit: &Visit, headers: &HeaderMap) -> Response {
        let portal = &self.0.0;
        let language = response::liked_language(headers).unwrap_or(Language::English);
        let section = [(header::LOCATION, portal.settings.path_for(&visit.account, "/capital"))];
        match with_timeout(portal.open(visit)).await {
            Ok(Some(cookie)) => {
                tracing::info!(account.id = %visit.account, "a merchant came from the dashboard");
                (StatusCode::SEE_OTHER, cookie, section).into_response()
            }
            // Used before: by this very browser, where somebody went back to the address or reloaded it.
            Ok(None) => match with_timeout(portal.session(headers)).await {
                Ok(Some(session)) if session.account == visit.account => {
                    (StatusCode::SEE_OTHER, section).into_response()
                }
                Ok(Some(_) | None) => {
                    LINES.write("replay", |suppressed| {
                        tracing::warn!(log.suppressed = suppressed, account.id = %visit.account,
                            "a token of the dashboard was used a second time");
                    });
                    self.refuse(language)
                }
                Err(error) => self.fail(&error, language),
            },
            Err(error) => self.fail(&error, language),
        }
    }

    /// Who is looking, and the language to answer in. Nobody, where the address is about another account than the session: `whose` is
    /// that account's tag, where there is one.
    async fn visitor(
        &self,
        headers: &HeaderMap,
        whose: Option<&str>,
    ) -> Result<Visitor, TurnedAway> {
        let liked = response::liked_language(headers);
        let fallback = liked.unwrap_or(Language::English);
        let nobody = TurnedAway { notice: Notice::SignIn, language: fallback };
        let session = with_timeout(self.0.0.session(headers)).await;
        let session = session.map_err(|error| self.trouble(&error, fallback))?;
        let Session { account, language, refresh_mark } = session.ok_or(nobody)?;
        if whose.is_some_and(|whose| whose != tenant::tag(&account)) {
            LINES.write("another account", |suppressed| {
                tracing::info!(log.suppressed = suppressed, account.id = %account,
                    "an address of another account was opened");
            });
            return Err(nobody);
        }
        let language = match language.or(liked) {
            Some(language) => language,
            None => self.0.0.language_of(&account).await,
        };
        Ok(Visitor { account, language, refresh_mark })
    }

    /// Nobody is known to be looking.
    fn refuse(&self, language: Language) -> Response {
        self.turn(TurnedAway { notice: Notice::SignIn, language })
    }

    fn fail(&self, error: &sqlx::Error, language: Language) -> Response {
        self.turn(self.trouble(error, language))
    }

    fn trouble(&self, error: &sqlx::Error, language: Language) -> TurnedAway {
        self.0.0.database_health.report(error, "cannot show the Capital section");
        TurnedAway { notice: Notice::NotNow, language }
    }

    fn turn(&self, away: TurnedAway) -> Response {
        self.0.1.notice(away.notice, away.language)
    }
}
