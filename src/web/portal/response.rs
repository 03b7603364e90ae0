//! Rendering of pages: templates, response headers, the platform's branding, the browser's
//! language.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;
use strum::IntoEnumIterator;
use url::Url;

use crate::brand::Brand;
use crate::format::locale::{Formats, Language};
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

/// How a page is presented.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presentation {
    pub(super) language: Language,
    /// In a frame of the platform's dashboard: without a header, and links that leave the section
    /// open in the whole window.
    pub(super) is_embedded: bool,
}

/// The compiled templates, with what every page shares.
#[derive(Debug)]
pub(super) struct Pages {
    templates: Environment<'static>,
    headers: HeaderMap,
    /// As `headers`, for a page in a frame.
    embedded_headers: HeaderMap,
    brand: Brand,
}

/// The name and the source of a file in `templates/pages`.
macro_rules! page_template {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/", $name)))
    };
}

const TEMPLATES: [(&str, &str); 14] = [
    page_template!("brand.html"),
    page_template!("page.html"),
    page_template!("looks.css"),
    page_template!("capital.html"),
    page_template!("capital_card.html"),
    page_template!("capital_progress.html"),
    page_template!("capital_history.html"),
    page_template!("transactions.html"),
    page_template!("statement.html"),
    page_template!("notice.html"),
    page_template!("onward.html"),
    page_template!("unsubscribe.html"),
    page_template!("capital_words.txt"),
    page_template!("unsubscribe_words.txt"),
];

/// The Capital section's wording with a disclaimer, as approvals name it: everything on the page
/// but the merchant's data. The file of words has all languages, so a change in one needs the
/// approvals of all anew.
pub fn copy_id(program_name: &str, contacts: &ContactSettings, disclaimer: &Disclaimer) -> CopyId {
    let Contacts { support, complaints } = contacts.in_market(disclaimer.market.as_deref());
    let files = [
        "page.html",
        "capital.html",
        "capital_card.html",
        "capital_progress.html",
        "capital_history.html",
        "capital_words.txt",
    ];
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
    /// start. `frame_ancestors` are the origins whose pages may embed the section.
    pub(super) fn new(brand: &Brand, frame_ancestors: &[Url]) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_filter("typeset", typeset);
        for (name, source) in TEMPLATES {
            templates.add_template(name, source)?;
        }
        let pages = Self {
            templates,
            headers: page_headers(brand, &[]),
            embedded_headers: page_headers(brand, frame_ancestors),
            brand: brand.clone(),
        };
        for notice in Notice::iter() {
            for language in Language::ALL {
                let presentation = Presentation { language, is_embedded: false };
                let page = context! { notice => notice.name() };
                pages.html("notice.html", presentation, page)?;
            }
        }
        Ok(pages)
    }

    pub(super) fn html(
        &self,
        template: &str,
        presentation: Presentation,
        page: minijinja::Value,
    ) -> Result<String, minijinja::Error> {
        let page = context! {
            brand => value(&self.brand),
            language => presentation.language.code(),
            is_embedded => presentation.is_embedded,
            ..page
        };
        self.templates.get_template(template)?.render(page)
    }

    /// A page as a response; a notice if it cannot be rendered.
    pub(super) fn render(
        &self,
        template: &str,
        presentation: Presentation,
        page: minijinja::Value,
    ) -> Response {
        match self.html(template, presentation, page) {
            Ok(html) => self.respond(StatusCode::OK, presentation, html),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), template, "cannot render a page");
                self.notice(Notice::NotNow, presentation)
            }
        }
    }

    pub(super) fn notice(&self, notice: Notice, presentation: Presentation) -> Response {
        let page = context! { notice => notice.name() };
        let html = self.html("notice.html", presentation, page).unwrap_or_default();
        let mut response = self.respond(notice.status(), presentation, html);
        if let Notice::TooOften(seconds) = notice {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    pub(super) fn respond(
        &self,
        status: StatusCode,
        presentation: Presentation,
        html: String,
    ) -> Response {
        let headers = if presentation.is_embedded { &self.embedded_headers } else { &self.headers };
        let mut response = (status, html).into_response();
        response.headers_mut().extend(headers.clone());
        response
    }
}

/// Inserts the non-breaking spaces that the language requires.
fn typeset(state: &minijinja::State<'_, '_>, text: &str) -> String {
    let code = state.lookup("language").unwrap_or_default().to_string();
    let language = code.parse().unwrap_or(Language::English);
    Formats::new(language, None).typeset(text)
}

impl Notice {
    /// The name of its text in the templates.
    fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Unclear => "unclear",
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

/// No scripts, no external content but the logo, no framing but by these origins.
fn page_headers(brand: &Brand, frame_ancestors: &[Url]) -> HeaderMap {
    let logo = brand.image_sources();
    let ancestors: Vec<String> =
        frame_ancestors.iter().map(|url| url.origin().ascii_serialization()).collect();
    let ancestors = if ancestors.is_empty() { "'none'".to_owned() } else { ancestors.join(" ") };
    let mut headers = private_page::page_headers(&format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src {logo}; form-action 'self'; \
         frame-ancestors {ancestors}; base-uri 'none'"
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
