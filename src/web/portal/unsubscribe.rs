//! `/unsubscribe/{token}`: unsubscribing from emails without a login, and RFC 8058's one-click
//! unsubscribe.
//!
//! A `GET` shows the state and changes nothing, because mail scanners open every link. A `POST`
//! stops the emails at once, including those that wait, whatever its body says, unless it asks to
//! resubscribe. The log contains the account's id, never the token.
//!
//! A link may be forwarded, and every round of unsubscribing and resubscribing adds a row that is
//! kept for years. So resubscribing is limited per account. Unsubscribing never is: the law
//! requires it to work, and a repeat adds no row.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use minijinja::context;
use strum::IntoEnumIterator;

use super::response::{Pages, Presentation, browser_language};
use crate::brand::Brand;
use crate::clock::Clock;
use crate::consent::opt_outs::{
    OptOutOutcome, OptOutRequest, OptOutSource, UnsubscribeLinks, opt_out, store,
};
use crate::database::{Pool, with_timeout};
use crate::format::locale::Language;
use crate::http::body::{self, BodyLimits};
use crate::http::rate::Rate;
use crate::web::private_page::keep_private;

/// The state of the page.
#[derive(Clone, Debug)]
pub struct Unsubscribe {
    pub db: Pool,
    pub clock: Clock,
    /// Verifies the tokens.
    pub links: UnsubscribeLinks,
    /// Rate limit per account for resubscribing.
    pub resubscribe_rate: Rate,
    pub brand: Brand,
}

#[derive(Clone)]
struct UnsubscribeState {
    unsubscribe: Arc<Unsubscribe>,
    pages: Arc<Pages>,
}

/// The variants of the page; the names are used by the template.
#[derive(Clone, Copy, Debug, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum UnsubscribePage {
    Ask,
    Stopped,
    Again,
    Kept,
    /// Resubscribing is possible after so many seconds.
    TooOften(u64),
    Unknown,
    Failed,
}

/// A form's few fields, or a mail client's one.
const BODY: BodyLimits = BodyLimits { max_bytes: 4096, timeout: Duration::from_secs(10) };
/// The rate limit per account for resubscribing. A process needs exactly one.
pub fn resubscribe_rate(clock: Clock) -> Rate {
    const BURST: NonZeroU32 = NonZeroU32::new(5).unwrap();
    Rate::one_in(Duration::from_hours(1), BURST, clock)
}

/// The route. Fails if a template does not compile.
pub fn router(unsubscribe: Unsubscribe) -> Result<Router, minijinja::Error> {
    let pages = Arc::new(Pages::new(&unsubscribe.brand, &[])?);
    let state = UnsubscribeState { unsubscribe: Arc::new(unsubscribe), pages };
    // Render every variant once, so that a broken template fails at start.
    for page in UnsubscribePage::iter() {
        for language in Language::ALL {
            state.html(page, language)?;
        }
    }
    Ok(Router::new()
        .route("/unsubscribe/{token}", get(show).post(decide))
        .layer(map_response(keep_private))
        .with_state(state))
}

impl UnsubscribePage {
    fn status(self) -> StatusCode {
        match self {
            Self::Ask | Self::Stopped | Self::Again | Self::Kept => StatusCode::OK,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Failed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn name(self) -> &'static str {
        self.into()
    }
}

impl UnsubscribeState {
    fn html(&self, page: UnsubscribePage, language: Language) -> Result<String, minijinja::Error> {
        let presentation = Presentation { language, is_embedded: false };
        self.pages.html("unsubscribe.html", presentation, context! { page => page.name() })
    }

    fn answer(&self, page: UnsubscribePage, language: Language) -> Response {
        let html = self.html(page, language).unwrap_or_default();
        let presentation = Presentation { language, is_embedded: false };
        let mut response = self.pages.respond(page.status(), presentation, html);
        if let UnsubscribePage::TooOften(seconds) = page {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

async fn show(
    State(state): State<UnsubscribeState>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let unsubscribe = &state.unsubscribe;
    let page = match unsubscribe.links.verify(&token) {
        None => UnsubscribePage::Unknown,
        Some(account) => {
            with_timeout(unsubscribe.state(account.as_str())).await.unwrap_or_else(|error| {
                unsubscribe.db.health().report(&error, "cannot look up an opt-out");
                // The button works in any state, so offer it.
                UnsubscribePage::Ask
            })
        }
    };
    state.answer(page, browser_language(&headers))
}

async fn decide(
    State(state): State<UnsubscribeState>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (unsubscribe, language) = (&state.unsubscribe, browser_language(&headers));
    let Some(account) = unsubscribe.links.verify(&token) else {
        return state.answer(UnsubscribePage::Unknown, language);
    };
    // A body that is late or too long is still a request to unsubscribe.
    let body = body::read(&headers, body, BODY).await.unwrap_or_default();
    let wants_emails =
        url::form_urlencoded::parse(&body).any(|pair| pair == ("again".into(), "yes".into()));
    let outcome = if wants_emails {
        with_timeout(unsubscribe.resubscribe(account.as_str())).await
    } else {
        // RFC 8058 section 3.2: a mail client sends the field as a form or as multipart.
        let is_one_click = String::from_utf8_lossy(&body).contains("One-Click");
        let source = if is_one_click { OptOutSource::OneClick } else { OptOutSource::Link };
        with_timeout(unsubscribe.stop(account.as_str(), source)).await
    };
    let page = outcome.unwrap_or_else(|error| {
        unsubscribe.db.health().report(&error, "cannot store an opt-out");
        UnsubscribePage::Failed
    });
    state.answer(page, language)
}

impl Unsubscribe {
    async fn state(&self, account_id: &str) -> sqlx::Result<UnsubscribePage> {
        let current = store::find_active(&self.db, account_id).await?;
        Ok(match current {
            None => UnsubscribePage::Ask,
            Some(opt_out)
                if OptOutSource::BY_LINK.iter().any(|source| source.as_str() == opt_out.source) =>
            {
                UnsubscribePage::Stopped
            }
            Some(_) => UnsubscribePage::Kept,
        })
    }

    async fn stop(&self, account_id: &str, source: OptOutSource) -> sqlx::Result<UnsubscribePage> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let outcome =
            opt_out(&mut tx, &OptOutRequest { account_id, source, note: None, since: now }, now)
                .await?;
        tx.commit().await?;
        // A repeat changes nothing and is not logged, because anyone with the link can cause it.
        if outcome == OptOutOutcome::Inserted {
            tracing::info!(
                account.id = account_id,
                source = source.as_str(),
                "a merchant unsubscribed"
            );
        }
        Ok(UnsubscribePage::Stopped)
    }

    /// Ends only opt-outs made by the link: one that an operator recorded must not be undone by a
    /// link that may have been forwarded.
    async fn resubscribe(&self, account_id: &str) -> sqlx::Result<UnsubscribePage> {
        if let Err(seconds) = self.resubscribe_rate.count(account_id) {
            return Ok(UnsubscribePage::TooOften(seconds));
        }
        let now = self.clock.now();
        if store::end(&self.db, account_id, &OptOutSource::BY_LINK, OptOutSource::Link, now).await?
        {
            tracing::info!(account.id = account_id, "a merchant resubscribed");
        }
        Ok(if store::is_opted_out(&self.db, account_id).await? {
            UnsubscribePage::Kept
        } else {
            UnsubscribePage::Again
        })
    }
}
