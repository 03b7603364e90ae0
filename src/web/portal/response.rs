//! Rendering of pages: templates, response headers, the platform's branding, the browser's
//! language.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;
use strum::IntoEnumIterator;

use super::Settings;
use crate::brand::Brand;
use crate::format::locale::Language;
use crate::letters::wording::approvals::{self, CAPITAL_SECTION, CopyId};
use crate::letters::wording::{ContactSettings, Contacts, Disclaimer};
use crate::web::private_page;

/// A page that shows a message instead of an account's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter)]
pub(super) enum Notice {
    /// The merchant must sign in from the dashboard.
    SignIn,
    /// Nothing to apply for or to report on.
    NothingThere,
    /// Temporarily unavailable.
    NotNow,
    /// Too many requests; retry after so many seconds.
    TooOften(u64),
    /// The URL is invalid.
    Unclear,
}

/// The compiled templates, with what every page shares.
#[derive(Debug)]
pub(super) struct Pages {
    templates: Environment<'static>,
    headers: HeaderMap,
    brand: Brand,
}

/// The name and the source of a file in `templates/pages`.
macro_rules! page_template {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/", $name)))
    };
}
pub(super) use page_template;

/// The head of every page.
pub(super) const BRAND_TEMPLATE: (&str, &str) = page_template!("brand.html");

const TEMPLATES: [(&str, &str); 7] = [
    BRAND_TEMPLATE,
    page_template!("page.html"),
    page_template!("capital.html"),
    page_template!("capital_card.html"),
    page_template!("statement.html"),
    page_template!("notice.html"),
    page_template!("capital_words.txt"),
];

/// The Capital section's wording with a disclaimer, as approvals name it: everything on the page
/// but the merchant's data. The file of words has all languages, so a change in one needs the
/// approvals of all anew.
pub fn copy_id(program_name: &str, contacts: &ContactSettings, disclaimer: &Disclaimer) -> CopyId {
    let Contacts { support, complaints } = contacts.in_market(disclaimer.market.as_deref());
    let files = ["page.html", "capital.html", "capital_card.html", "capital_words.txt"];
    let sources = TEMPLATES.iter().filter(|(name, _)| files.contains(name));
    let parts = [
        CAPITAL_SECTION,
        program_name,
        &support.address,
        complaints.as_ref().map_or("", |complaints| &complaints.address),
        disclaimer.language.code(),
        &disclaimer.variant,
    ];
    let parts = parts.into_iter().chain(sources.map(|(_, source)| *source));
    let hash = approvals::hash(parts.chain(disclaimer.paragraphs.iter().map(String::as_str)));
    CopyId::new(CAPITAL_SECTION, disclaimer, hash)
}

/// Converts a value for use in a template.
pub(super) fn value<T: Serialize>(of: T) -> minijinja::Value {
    minijinja::Value::from(Serde(of))
}

impl Pages {
    /// Compiles the templates and renders every notice once, so that a broken template fails at
    /// start.
    pub(super) fn new(settings: &Settings) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            templates.add_template(name, source)?;
        }
        let brand = settings.brand.clone();
        let pages = Self { templates, headers: page_headers(&brand), brand };
        for notice in Notice::iter() {
            for language in Language::ALL {
                pages.html("notice.html", language, context! { notice => notice.name() })?;
            }
        }
        Ok(pages)
    }

    fn html(
        &self,
        template: &str,
        language: Language,
        page: minijinja::Value,
    ) -> Result<String, minijinja::Error> {
        let page = context! { brand => value(&self.brand), language => language.code(), ..page };
        self.templates.get_template(template)?.render(page)
    }

    /// A page as a response; a notice if it cannot be rendered.
    pub(super) fn render(
        &self,
        template: &str,
        language: Language,
        page: minijinja::Value,
    ) -> Response {
        match self.html(template, language, page) {
            Ok(html) => self.respond(StatusCode::OK, html),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), template, "cannot render a page");
                self.notice(Notice::NotNow, language)
            }
        }
    }

    pub(super) fn notice(&self, notice: Notice, language: Language) -> Response {
        let page = context! { notice => notice.name() };
        let html = self.html("notice.html", language, page).unwrap_or_default();
        let mut response = self.respond(notice.status(), html);
        if let Notice::TooOften(seconds) = notice {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn respond(&self, status: StatusCode, html: String) -> Response {
        let mut response = (status, html).into_response();
        response.headers_mut().extend(self.headers.clone());
        response
    }
}

impl Notice {
    /// The name of its text in the templates.
    fn name(self) -> &'static str {
        match self {
            Self::SignIn | Self::Unclear => "sign_in",
            Self::NothingThere => "nothing_there",
            Self::NotNow | Self::TooOften(_) => "not_now",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::SignIn => StatusCode::UNAUTHORIZED,
            Self::NothingThere => StatusCode::NOT_FOUND,
            Self::NotNow => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unclear => StatusCode::BAD_REQUEST,
        }
    }
}

/// No scripts, no external content but the logo, no framing.
pub(super) fn page_headers(brand: &Brand) -> HeaderMap {
    let logo = brand.image_sources();
    let mut headers = private_page::page_headers(&format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src {logo}; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    ));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Language, Cookie"));
    headers
}

/// The browser's language; English if it accepts none of the supported ones.
pub(super) fn browser_language(headers: &HeaderMap) -> Language {
    accepted_language(headers).unwrap_or(Language::English)
}

/// The supported language with the highest weight in `Accept-Language` (RFC 9110 section 12.5.4).
pub(super) fn accepted_language(headers: &HeaderMap) -> Option<Language> {
    let header = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    // Of equal weights the first wins; `max_by` returns the last, hence the reverse order.
    let ranges = header.rsplit(',').filter_map(parse_language_range);
    let best = ranges.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(_, language)| language)
}

/// Parses `de-AT;q=0.8`. `None` for weight 0 and for an unsupported language.
fn parse_language_range(range: &str) -> Option<(f32, Language)> {
    let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
    let weight = weight.trim().strip_prefix("q=")?.parse().ok().filter(|weight| *weight > 0.0)?;
    Some((weight, tag.trim().split('-').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supported_language_with_the_highest_weight_is_chosen() {
        let accepted = |given: &'static str| {
            accepted_language(&HeaderMap::from_iter([(
                header::ACCEPT_LANGUAGE,
                HeaderValue::from_static(given),
            )]))
        };
        for (given, language) in [
            ("de-AT,de;q=0.9,en;q=0.8", Some(Language::German)),
            ("nl, fr-CA;q=0.7, en;q=0.3", Some(Language::French)),
            ("en;q=0.3,fr;q=0.7", Some(Language::French)),
            ("fr;q=0, en", Some(Language::English)),
            ("de, fr, en", Some(Language::German)),
            ("fr;q=0", None),
            ("nl", None),
            ("de;q=much", None),
            ("", None),
        ] {
            assert_eq!(accepted(given), language, "{given}");
        }
    }
}
