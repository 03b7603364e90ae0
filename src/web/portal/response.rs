//! Pages as they go out: templates, headers, the platform's looks.

use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;
use url::Url;

use super::Settings;
use crate::format::locale::Language;

/// The platform's looks.
#[derive(Clone, Debug, Serialize)]
pub struct Brand {
    /// Its name for its Capital program.
    pub program_name: String,
    /// Its own page, which knows its visitors.
    pub dashboard_url: Url,
    /// A picture of its name.
    pub logo_url: Option<Url>,
    /// Of buttons and bars, with what is legible on it.
    pub accent: Colour,
}

/// A colour and the ink that is legible on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Colour {
    paint: String,
    ink: &'static str,
}

/// Not a colour.
#[derive(Debug, thiserror::Error)]
#[error("write a colour as #rrggbb")]
pub struct BadColour;

/// A page that is not about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The visitor is to come by the dashboard.
    SignIn,
    /// There is nothing to apply for, or to report about.
    NothingThere,
    /// Later.
    NotNow,
    /// After so many seconds: the visitor asks for more than a person needs.
    TooOften(u64),
    /// The address cannot be understood; the dashboard has the right one.
    Unclear,
}

/// The templates.
#[derive(Debug)]
pub(super) struct Pages {
    templates: Environment<'static>,
    headers: HeaderMap,
    brand: Brand,
}

const TEMPLATES: [(&str, &str); 6] = [
    ("page.html", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/page.html"))),
    (
        "capital.html",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/capital.html")),
    ),
    (
        "capital_card.html",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/capital_card.html")),
    ),
    (
        "statement.html",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/statement.html")),
    ),
    (
        "notice.html",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/notice.html")),
    ),
    (
        "capital_words.txt",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/capital_words.txt")),
    ),
];

impl FromStr for Colour {
    type Err = BadColour;

    fn from_str(text: &str) -> Result<Self, BadColour> {
        let digits =
            text.trim().strip_prefix('#').filter(|digits| digits.len() == 6).ok_or(BadColour)?;
        let bytes = hex::decode(digits).map_err(|_| BadColour)?;
        let [red, green, blue]: [u8; 3] = bytes.try_into().map_err(|_| BadColour)?;
        // Of black and white one always has a contrast of 4.5 (WCAG 2.2, 1.4.3); this is the luminance where they are equal.
        let is_light = luminance([red, green, blue]) > 0.179;
        Ok(Self { paint: format!("#{digits}"), ink: if is_light { "#000000" } else { "#ffffff" } })
    }
}

/// As templates see it.
pub(super) fn value<T: Serialize>(of: T) -> minijinja::Value {
    minijinja::Value::from(Serde(of))
}

/// Relative luminance (WCAG 2.2).
fn luminance(colour: [u8; 3]) -> f64 {
    let [red, green, blue] = colour.map(|channel| {
        let share = f64::from(channel) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

impl Pages {
    /// Compiles the templates and renders those that need no account.
    pub(super) fn new(settings: &Settings) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            templates.add_template(name, source)?;
        }
        let pages =
            Self { templates, headers: headers(&settings.brand), brand: settings.brand.clone() };
        for notice in [
            Notice::SignIn,
            Notice::NothingThere,
            Notice::NotNow,
            Notice::TooOften(1),
            Notice::Unclear,
        ] {
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

    /// A page, ready to go out.
    pub(super) fn answer(
        &self,
        template: &str,
        language: Language,
        page: minijinja::Value,
    ) -> Response {
        match self.html(template, language, page) {
            Ok(html) => self.respond(StatusCode::OK, html),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), template, "cannot write a page");
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
    /// Which of the templates' words it has.
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

/// No script, nothing from elsewhere but the logo, in nobody's frame, in nobody's cache; and no address of ours goes to Stripe.
fn headers(brand: &Brand) -> HeaderMap {
    let logo = brand
        .logo_url
        .as_ref()
        .map_or_else(|| "'none'".to_owned(), |url| url.origin().ascii_serialization());
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src {logo}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    let policy = HeaderValue::from_str(&policy).expect("an origin is plain ASCII");
    let fixed = HeaderValue::from_static;
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::VARY, fixed("Accept-Language, Cookie")),
        (HeaderName::from_static("x-robots-tag"), fixed("noindex")),
    ])
}

/// Whatever we answer is in nobody's cache, and no address of ours goes anywhere: also where there is no page in the answer, as in a
/// redirect, a file, or a method that an address does not know.
pub(super) async fn keep_private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in
        [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")]
    {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The language that a browser likes most of those that there are pages in (RFC 9110 section 12.5.4).
pub(super) fn liked_language(headers: &HeaderMap) -> Option<Language> {
    let liked = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(f32, Language)> = None;
    for (weight, language) in liked.split(',').filter_map(liking) {
        if best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

/// `de-AT;q=0.8`, by how much it is liked. None where it is not liked at all, or is no language of ours.
fn liking(given: &str) -> Option<(f32, Language)> {
    let (tag, weight) = given.split_once(';').unwrap_or((given, "q=1"));
    let weight = weight.trim().strip_prefix("q=")?.parse().ok().filter(|weight| *weight > 0.0)?;
    Some((weight, tag.trim().split('-').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_is_liked_most_is_the_pages() {
        let liked = |given: &'static str| {
            liked_language(&HeaderMap::from_iter([(
                header::ACCEPT_LANGUAGE,
                HeaderValue::from_static(given),
            )]))
        };
        for (given, language) in [
            ("de-AT,de;q=0.9,en;q=0.8", Some(Language::German)),
            ("nl, fr-CA;q=0.7, en;q=0.3", Some(Language::French)),
            ("en;q=0.3,fr;q=0.7", Some(Language::French)),
            ("fr;q=0, en", Some(Language::English)),
            ("fr;q=0", None),
            ("nl", None),
            ("de;q=much", None),
            ("", None),
        ] {
            assert_eq!(liked(given), language, "{given}");
        }
    }

    #[test]
    fn what_is_written_on_a_colour_is_legible() {
        for text in
            ["#000000", "#ffffff", "#1f5eff", "#777777", "#757575", "#00ff00", "#ff0000", "#0a7d52"]
        {
            let colour: Colour = text.parse().unwrap();
            let digits: [u8; 3] = hex::decode(&text[1..]).unwrap().try_into().unwrap();
            let (paint, ink) = (luminance(digits), if colour.ink == "#ffffff" { 1.0 } else { 0.0 });
            let (light, dark) = if paint > ink { (paint, ink) } else { (ink, paint) };
            let contrast = (light + 0.05) / (dark + 0.05);
            assert!(contrast >= 4.5, "{text} with {}: {contrast}", colour.ink);
        }
        for bad in ["", "red", "#fff", "#gggggg", "#12345678", "#1f5eff; }"] {
            assert!(bad.parse::<Colour>().is_err(), "{bad}");
        }
    }
}
