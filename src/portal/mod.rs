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

mod answer;
mod onward;
mod section;
mod session;
mod statement;
mod token;
mod unsubscribe;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sqlx::PgPool;
use url::Url;

use crate::clock::Clock;
use crate::database::{Troubles, within};
use crate::financing::Financings;
use crate::flow::email::copy::Disclaimers;
use crate::locale::Language;
use crate::stripe::AccountId;
use answer::{Notice, Pages};
use session::Session;

pub use answer::{BadColour, Brand};
pub use token::{Keys, NotAKey};
pub use unsubscribe::{Unsubscribe, router as unsubscribe_router};

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
    pub db: PgPool,
    /// When a visit began.
    pub clock: Clock,
    /// Told of a database that gives nothing.
    pub troubles: Troubles,
    /// What is known of financings.
    pub financings: Financings,
    /// What must stand wherever Capital is spoken of.
    pub disclaimers: Disclaimers,
    /// What it was told.
    pub settings: Settings,
}

#[derive(Clone)]
struct Shared(Arc<(Portal, Pages)>);

impl Settings {
    /// A path of ours as the browser sees it: below the path of the service's own address.
    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.path().trim_end_matches('/'))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.public_url.clone();
        url.set_path(&self.path(path));
        url
    }
}

/// The routes. Fails where a page's template is wrong.
pub fn router(portal: Portal) -> Result<Router, minijinja::Error> {
    let pages = Pages::new(&portal.settings)?;
    let shared = Shared(Arc::new((portal, pages)));
    Ok(Router::new()
        .route("/capital", get(enter))
        .route("/capital/apply", get(onward::apply))
        .route("/capital/report", get(onward::report))
        .route("/capital/statement", get(statement::show))
        .route("/capital/statement.csv", get(statement::csv))
        .with_state(shared))
}

/// A merchant with a session.
struct Visitor {
    account: AccountId,
    language: Language,
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
}

/// With a token: opens a session and takes the token out of the address. Without: shows the section.
async fn enter(
    State(shared): State<Shared>,
    Query(query): Query<Entering>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    // Whoever only wants to know whether an address is there must not use a token up.
    if method == Method::HEAD && query.token.is_some() {
        return StatusCode::NO_CONTENT.into_response();
    }
    let portal = &shared.0.0;
    let Some(token) = query.token else {
        return match shared.visitor(&headers).await {
            Ok(visitor) => section::show(&shared, &visitor, query.before.as_deref()).await,
            Err(away) => shared.turn(away),
        };
    };
    let language = answer::liked_language(&headers).unwrap_or(Language::English);
    let visit = match portal.settings.keys.read(&token, portal.clock.now()) {
        Ok(visit) => visit,
        Err(why) => {
            tracing::warn!(%why, "a token of the dashboard opens nothing");
            return shared.refuse(language);
        }
    };
    match within(portal.open(&visit)).await {
        Ok(Some(cookie)) => {
            tracing::info!(account.id = %visit.account, "a merchant came from the dashboard");
            let section = portal.settings.path("/capital");
            (StatusCode::SEE_OTHER, session::set(cookie), [(header::LOCATION, section)]).into_response()
        }
        // Used before: by this very browser, where somebody went back to the address or reloaded it.
        Ok(None) => match within(portal.session(&headers)).await {
            Ok(Some(session)) if session.account == visit.account => {
                (StatusCode::SEE_OTHER, [(header::LOCATION, portal.settings.path("/capital"))])
                    .into_response()
            }
            Ok(Some(_) | None) => {
                tracing::warn!(account.id = %visit.account, "a token of the dashboard was used a second time");
                shared.refuse(language)
            }
            Err(error) => shared.fail(&error, language),
        },
        Err(error) => shared.fail(&error, language),
    }
}

impl Shared {
    /// Who is looking, and the language to answer in.
    async fn visitor(&self, headers: &HeaderMap) -> Result<Visitor, TurnedAway> {
        let liked = answer::liked_language(headers);
        let fallback = liked.unwrap_or(Language::English);
        match within(self.0.0.session(headers)).await {
            Ok(Some(Session { account, language })) => {
                let language = match language.or(liked) {
                    Some(language) => language,
                    None => self.0.0.language_of(&account).await,
                };
                Ok(Visitor { account, language })
            }
            Ok(None) => Err(TurnedAway { notice: Notice::SignIn, language: fallback }),
            Err(error) => Err(self.trouble(&error, fallback)),
        }
    }

    /// Nobody is known to be looking.
    fn refuse(&self, language: Language) -> Response {
        self.turn(TurnedAway { notice: Notice::SignIn, language })
    }

    fn fail(&self, error: &sqlx::Error, language: Language) -> Response {
        self.turn(self.trouble(error, language))
    }

    fn trouble(&self, error: &sqlx::Error, language: Language) -> TurnedAway {
        self.0.0.troubles.tell(error, "cannot show the Capital section");
        TurnedAway { notice: Notice::NotNow, language }
    }

    fn turn(&self, away: TurnedAway) -> Response {
        self.0.1.notice(away.notice, away.language)
    }
}
