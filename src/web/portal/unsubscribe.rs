//! `/unsubscribe/{token}`: the page by which a merchant stops the letters, without a login, and RFC 8058's one click.
//!
//! A `GET` shows how things stand and changes nothing: mail scanners open every link. A `POST` stops the letters at once, also those that
//! wait, whatever its body says, unless it asks for letters again. Nothing of a token or an account is logged but the account's id.
//!
//! A link may be forwarded, and each round of stopping and asking again adds a row that is kept for years. So asking again is limited by
//! account; stopping never is, because the law wants it to work and a second stop adds nothing.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use minijinja::{Environment, context};

use super::response::{keep_private, liked_language};
use crate::clock::Clock;
use crate::consent::opt_outs::{
    OptOutOutcome, OptOutRequest, OptOutSource, UnsubscribeLinks, opt_out, store,
};
use crate::database::{DatabaseHealth, Pool, with_timeout};
use crate::format::locale::{Formats, Language};
use crate::http::body::{self, BodyLimits};
use crate::http::rate::Rate;

/// What the page needs.
#[derive(Clone, Debug)]
pub struct Unsubscribe {
    /// Where opt-outs are kept.
    pub db: Pool,
    /// Told of a database that would not keep one.
    pub database_health: DatabaseHealth,
    /// When one was made.
    pub clock: Clock,
    /// Reads the tokens.
    pub links: UnsubscribeLinks,
    /// How often an account may subscribe again by its link.
    pub again: Rate,
    /// The platform's name for its Capital program.
    pub program_name: String,
}

#[derive(Clone)]
struct Shared(Arc<(Unsubscribe, Environment<'static>)>);

/// What is shown.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum Page {
    Ask,
    Stopped,
    Again,
    Kept,
    /// Subscribing again is possible after so many seconds.
    TooOften(u64),
    Unknown,
    Failed,
}

const TEMPLATE: (&str, &str) = (
    "unsubscribe.html",
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/unsubscribe.html")),
);
const WORDS: (&str, &str) = (
    "unsubscribe_words.txt",
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/unsubscribe_words.txt")),
);
/// A form's few words, or a mail client's one; as long as the webhook gives a body.
const BODY: BodyLimits = BodyLimits { max_bytes: 4096, timeout: Duration::from_secs(10) };
/// No script, no picture, nothing from elsewhere, in nobody's frame; and the token in the address goes nowhere.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex")),
];

/// How often each account may subscribe again. To be shared by all routers of a process.
pub fn rate_of_subscribing_again(clock: Clock) -> Rate {
    const BURST: NonZeroU32 = NonZeroU32::new(5).unwrap();
    Rate::one_in(Duration::from_hours(1), BURST, clock)
}

/// The route. Fails where the page's template is wrong.
pub fn router(unsubscribe: Unsubscribe) -> Result<Router, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    templates.add_filter("typeset", typeset);
    templates.add_template(TEMPLATE.0, TEMPLATE.1)?;
    templates.add_template(WORDS.0, WORDS.1)?;
    let shared = Shared(Arc::new((unsubscribe, templates)));
    let pages = [
        Page::Ask,
        Page::Stopped,
        Page::Again,
        Page::Kept,
        Page::TooOften(1),
        Page::Unknown,
        Page::Failed,
    ];
    for page in pages {
        for language in Language::ALL {
            shared.html(page, language)?;
        }
    }
    Ok(Router::new()
        .route("/unsubscribe/{token}", get(show).post(decide))
        .layer(map_response(keep_private))
        .with_state(shared))
}

/// TenantQuery with the blanks of the page's language that must not end a line.
fn typeset(state: &minijinja::State<'_, '_>, words: &str) -> String {
    let code = state.lookup("language").unwrap_or_default().to_string();
    let language = code.parse().unwrap_or(Language::English);
    Formats::new(language, None).typeset(words)
}

impl Page {
    fn status(self) -> StatusCode {
        match self {
            Self::Ask | Self::Stopped | Self::Again | Self::Kept => StatusCode::OK,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Failed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// As the template calls it.
    fn name(self) -> &'static str {
        self.into()
    }
}

impl Shared {
    fn html(&self, page: Page, language: Language) -> Result<String, minijinja::Error> {
        let (unsubscribe, templates) = &*self.0;
        let program_name = &unsubscribe.program_name;
        let template = templates.get_template(TEMPLATE.0)?;
        template.render(context! { page => page.name(), language => language.code(), program_name })
    }

    fn answer(&self, page: Page, language: Language) -> Response {
        let html = self.html(page, language).unwrap_or_default();
        let mut response = (page.status(), html).into_response();
        let headers = response.headers_mut();
        // Not `extend`, which adds a second Content-Type to that of the text.
        for (name, value) in HEADERS {
            headers.insert(name, value);
        }
        if let Page::TooOften(seconds) = page {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The browser's language, else English.
fn language(headers: &HeaderMap) -> Language {
    liked_language(headers).unwrap_or(Language::English)
}

async fn show(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let unsubscribe = &shared.0.0;
    let page = match unsubscribe.links.verify(&token) {
        None => Page::Unknown,
        Some(account) => {
            with_timeout(unsubscribe.state(account.as_str())).await.unwrap_or_else(|error| {
                unsubscribe.database_health.report(&error, "cannot look up an opt-out");
                // The button works whatever the state is.
                Page::Ask
            })
        }
    };
    shared.answer(page, language(&headers))
}

async fn decide(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (unsubscribe, language) = (&shared.0.0, language(&headers));
    let Some(account) = unsubscribe.links.verify(&token) else {
        return shared.answer(Page::Unknown, language);
    };
    // One that is late, or too long, is a wish to have no letters all the same.
    let body = body::read(&headers, body, BODY).await.unwrap_or_default();
    let asks_for_letters =
        url::form_urlencoded::parse(&body).any(|pair| pair == ("again".into(), "yes".into()));
    let outcome = if asks_for_letters {
        with_timeout(unsubscribe.again(account.as_str())).await
    } else {
        // RFC 8058 section 3.2: the words come as a form or as multipart, from a program and not from the page.
        let is_one_click = String::from_utf8_lossy(&body).contains("One-Click");
        let source = if is_one_click { OptOutSource::OneClick } else { OptOutSource::Link };
        with_timeout(unsubscribe.stop(account.as_str(), source)).await
    };
    let page = outcome.unwrap_or_else(|error| {
        unsubscribe.database_health.report(&error, "cannot keep an opt-out");
        Page::Failed
    });
    shared.answer(page, language)
}

impl Unsubscribe {
    async fn state(&self, account_id: &str) -> sqlx::Result<Page> {
        let current = store::find_active(&self.db, account_id).await?;
        Ok(match current {
            None => Page::Ask,
            Some(opt_out)
                if OptOutSource::BY_LINK.iter().any(|source| source.as_str() == opt_out.source) =>
            {
                Page::Stopped
            }
            Some(_) => Page::Kept,
        })
    }

    async fn stop(&self, account_id: &str, source: OptOutSource) -> sqlx::Result<Page> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let outcome =
            opt_out(&mut tx, &OptOutRequest { account_id, source, note: None, since: now }, now)
                .await?;
        tx.commit().await?;
        // What changes nothing leaves no line: anyone with the link can repeat it.
        if outcome == OptOutOutcome::Inserted {
            tracing::info!(
                account.id = account_id,
                source = source.as_str(),
                "a merchant unsubscribed"
            );
        }
        Ok(Page::Stopped)
    }

    /// What a person entered for the merchant is not undone by a link that may have been forwarded.
    async fn again(&self, account_id: &str) -> sqlx::Result<Page> {
        if let Err(seconds) = self.again.count(account_id) {
            return Ok(Page::TooOften(seconds));
        }
        let now = self.clock.now();
        if store::end(&self.db, account_id, &OptOutSource::BY_LINK, OptOutSource::Link, now).await?
        {
            tracing::info!(account.id = account_id, "a merchant subscribed again");
        }
        Ok(if store::is_opted_out(&self.db, account_id).await? { Page::Kept } else { Page::Again })
    }
}
