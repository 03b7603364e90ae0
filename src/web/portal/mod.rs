//! The merchant's web pages: the account's Capital section, and the page to unsubscribe from
//! emails.
//!
//! ```text
//! the platform's dashboard ─▶ /capital?token=… ─▶ a session ─▶ /capital            current state
//!        signs a token        redeems the token                /capital/statement  a month; print, CSV
//!                                                              /capital/transactions  by week
//!                                                              /capital/apply      ─▶ Stripe, by a new
//!                                                              /capital/report     ─▶ Account Link
//! ```
//!
//! Pages work without scripts and load nothing but the platform's logo. They are never cached. Only
//! with `embed=1` can they be framed, by the origins in `portal.frame_ancestors`.

mod account_link;
mod response;
mod section;
mod session;
mod statement;
mod tenant;
mod token;
mod transactions;
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

use crate::brand::Brand;
use crate::clock::Clock;
use crate::database::{Pool, with_timeout};
use crate::financing::Financings;
use crate::flow::offer::OfferFinder;
use crate::format::locale::Language;
use crate::http::rate::Rate;
use crate::letters::wording::{ContactSettings, Disclaimers};
use crate::stripe::AccountId;
use crate::telemetry::LogLimit;
use crate::web::private_page;
use response::{Notice, Pages, Presentation, browser_language};
use session::Session;
use tenant::PortalQuery;
use token::VerifiedToken;

pub use account_link::account_link_rate;
pub use response::copy_id;
pub use session::{
    SessionSummary, end_sessions, export_sessions, has_session, sessions_of_account,
};
pub use token::{BadPublicKey, Keys};
pub use unsubscribe::{Unsubscribe, resubscribe_rate, router as unsubscribe_router};

/// The settings of the Capital section.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Verify the dashboard's tokens.
    pub keys: Keys,
    /// The service's base URL as merchants reach it.
    pub public_url: Url,
    /// Lifetime of a session.
    pub session: Duration,
    /// Whether a view of an undelivered offer counts as its delivery.
    pub marks_delivered: bool,
    /// The origins whose pages may embed the section.
    pub frame_ancestors: Vec<Url>,
    /// Where Stripe sends a merchant whose Account Link has expired; `None` for the page that
    /// created it.
    pub refresh_url: Option<Url>,
    /// Where Stripe sends a merchant who is done; `None` for the section.
    pub return_url: Option<Url>,
    /// The key of the account's Stripe metadata that names its language.
    pub locale_metadata_key: String,
    /// Whom merchants ask, and where they complain.
    pub contacts: ContactSettings,
    pub brand: Brand,
}

/// The state of the Capital section.
#[derive(Clone, Debug)]
pub struct Portal {
    pub db: Pool,
    pub clock: Clock,
    pub financings: Financings,
    /// Finds the offers of an account that is unknown here.
    pub finder: OfferFinder,
    /// The legal texts that must accompany any mention of Capital.
    pub disclaimers: Disclaimers,
    /// Rate limit per account for Account Links, shared with the API.
    pub links: Rate,
    pub settings: Settings,
}

/// Log messages that anyone can cause.
static LIMITED: LogLimit = LogLimit::new();

#[derive(Clone)]
struct PortalState {
    portal: Arc<Portal>,
    pages: Arc<Pages>,
}

/// The routes of the section. Fails if a template does not compile.
pub fn router(portal: Portal) -> Result<Router, minijinja::Error> {
    let pages = Pages::new(&portal.settings.brand, &portal.settings.frame_ancestors)?;
    let state = PortalState { portal: Arc::new(portal), pages: Arc::new(pages) };
    Ok(Router::new()
        .route("/capital", get(enter))
        .route("/capital/apply", get(account_link::apply))
        .route("/capital/report", get(account_link::report))
        .route("/capital/transactions", get(transactions::show))
        .route("/capital/statement", get(statement::show))
        .route("/capital/statement.csv", get(statement::csv))
        .layer(map_response(private_page::keep_private))
        .with_state(state))
}

/// A merchant with a valid session.
struct Viewer {
    account: AccountId,
    presentation: Presentation,
    refresh_mark: String,
}

impl Viewer {
    fn language(&self) -> Language {
        self.presentation.language
    }

    fn is_embedded(&self) -> bool {
        self.presentation.is_embedded
    }
}

/// A notice that is shown instead of the requested page.
#[derive(Clone, Copy)]
struct ErrorPage {
    notice: Notice,
    presentation: Presentation,
}

/// With a token: starts a session and redirects to the URL without the token. Without: shows the
/// section.
async fn enter(
    State(state): State<PortalState>,
    query: PortalQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some(token) = &query.token else {
        return match state.viewer(&headers, &query).await {
            Ok(viewer) => {
                // A probe or a prefetch shows nothing to a person.
                let is_seen = !account_link::is_prefetch(&method, &headers);
                section::show(&state, &viewer, is_seen).await
            }
            Err(error) => state.error_page(error),
        };
    };
    // A HEAD request only probes the URL, and must not redeem the token.
    if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    }
    let portal = &state.portal;
    let is_embedded = portal.settings.is_embedded(&query);
    let presentation = Presentation { language: browser_language(&headers), is_embedded };
    match portal.settings.keys.verify(token, portal.clock.now()) {
        Ok(token) => state.start_session(&token, &headers, presentation).await,
        Err(error) => {
            // Anyone can cause this, so it is logged at most once a second.
            LIMITED.write("token", |suppressed| {
                tracing::warn!(log.suppressed = suppressed, %error, "rejected a dashboard token");
            });
            state.pages.notice(Notice::SignIn, presentation)
        }
    }
}

impl PortalState {
    /// Redeems the token, sets the session cookie and redirects to the section.
    async fn start_session(
        &self,
        token: &VerifiedToken,
        headers: &HeaderMap,
        presentation: Presentation,
    ) -> Response {
        let (portal, is_embedded) = (&self.portal, presentation.is_embedded);
        let section = portal.settings.path_for(&token.account, "/capital", is_embedded);
        let section = [(header::LOCATION, section)];
        match with_timeout(portal.open_session(token, is_embedded)).await {
            Ok(Some(cookie)) => {
                tracing::info!(
                    account.id = %token.account,
                    "a merchant signed in from the dashboard"
                );
                (StatusCode::SEE_OTHER, cookie, section).into_response()
            }
            // Redeemed before. If this browser has the session of the same account, the merchant
            // reloaded the URL or went back to it.
            Ok(None) => match with_timeout(portal.session(headers, is_embedded)).await {
                Ok(Some(session)) if session.account == token.account => {
                    (StatusCode::SEE_OTHER, section).into_response()
                }
                Ok(Some(_) | None) => {
                    LIMITED.write("replay", |suppressed| {
                        tracing::warn!(log.suppressed = suppressed, account.id = %token.account,
                            "rejected a dashboard token that was already used");
                    });
                    self.pages.notice(Notice::SignIn, presentation)
                }
                Err(error) => self.fail(&error, presentation),
            },
            Err(error) => self.fail(&error, presentation),
        }
    }

    /// The signed-in merchant and how to present the response. The query may name the account that
    /// the URL is about; a session of another account does not count.
    async fn viewer(&self, headers: &HeaderMap, query: &PortalQuery) -> Result<Viewer, ErrorPage> {
        let accepted = response::accepted_language(headers);
        let is_embedded = self.portal.settings.is_embedded(query);
        let fallback =
            Presentation { language: accepted.unwrap_or(Language::English), is_embedded };
        let signed_out = ErrorPage { notice: Notice::SignIn, presentation: fallback };
        let session = with_timeout(self.portal.session(headers, is_embedded)).await;
        let session = session.map_err(|error| self.database_error(&error, fallback))?;
        let Session { account, language, refresh_mark } = session.ok_or(signed_out)?;
        if query.account_tag.as_deref().is_some_and(|tag| tag != tenant::tag(&account)) {
            LIMITED.write("another account", |suppressed| {
                tracing::info!(log.suppressed = suppressed, account.id = %account,
                    "a page of another account than the session's was requested");
            });
            return Err(signed_out);
        }
        let language = match language.or(accepted) {
            Some(language) => language,
            None => self.portal.language_of(&account).await,
        };
        let presentation = Presentation { language, is_embedded };
        Ok(Viewer { account, presentation, refresh_mark })
    }

    fn fail(&self, error: &sqlx::Error, presentation: Presentation) -> Response {
        self.error_page(self.database_error(error, presentation))
    }

    /// Asks the merchant to come back later.
    fn not_now(&self, presentation: Presentation) -> Response {
        self.error_page(ErrorPage { notice: Notice::NotNow, presentation })
    }

    fn database_error(&self, error: &sqlx::Error, presentation: Presentation) -> ErrorPage {
        self.portal.db.health().report(error, "cannot show the Capital section");
        ErrorPage { notice: Notice::NotNow, presentation }
    }

    fn error_page(&self, error: ErrorPage) -> Response {
        self.pages.notice(error.notice, error.presentation)
    }
}
