//! The HTML of an email as a document of its own, in the frame of a page.

use axum::http::HeaderValue;
use axum::response::{Html, IntoResponse, Response};
use url::Url;

use crate::web::private_page::page_headers;

/// The color scheme in which the email is shown, whatever the browser prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Scheme {
    #[default]
    Light,
    Dark,
}

/// Whether images are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum ImageLoading {
    #[default]
    On,
    /// As in a mail program that asks before it loads images.
    Off,
}

/// What a click on a link in the email does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameLinks {
    /// Nothing: a link may act for the merchant.
    Inert,
    /// Opens a new tab.
    Open,
}

/// How the frame shows the email.
#[derive(Clone, Debug)]
pub struct FrameOptions<'a> {
    pub scheme: Scheme,
    pub loading: ImageLoading,
    /// Images of other hosts that may be loaded, each by its exact URL.
    pub images: Vec<&'a Url>,
    pub links: FrameLinks,
}

impl FrameLinks {
    /// The value of the attribute `sandbox`, and of the directive in the policy.
    pub fn sandbox(self) -> &'static str {
        match self {
            Self::Inert => "",
            // A page that opens in a tab works as usual.
            Self::Open => "allow-popups allow-popups-to-escape-sandbox",
        }
    }
}

/// The response for the frame.
pub fn frame(html: &str, options: &FrameOptions<'_>) -> Response {
    let mut response = Html(document(html, options)).into_response();
    let headers = response.headers_mut();
    headers.extend(page_headers(&policy(options)));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

fn policy(options: &FrameOptions<'_>) -> String {
    let mut images = match options.loading {
        ImageLoading::On => "img-src data:".to_owned(),
        ImageLoading::Off => "img-src 'none'".to_owned(),
    };
    if options.loading == ImageLoading::On {
        // A `;` or `,` would begin another directive or another policy; a query takes no part in
        // the comparison.
        let sources = options.images.iter().filter(|url| matches!(url.scheme(), "https" | "http"));
        for url in sources {
            let source = url[..url::Position::AfterPath].replace(';', "%3B").replace(',', "%2C");
            images.push(' ');
            images.push_str(&source);
        }
    }
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; {images}; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'self'; sandbox {}",
        options.links.sandbox()
    )
}

/// The email's HTML with its media queries decided, and what the frame adds.
fn document(html: &str, options: &FrameOptions<'_>) -> String {
    let mut document = with_scheme(html, options.scheme);
    let scheme: &str = options.scheme.into();
    // At the end, because whatever stands before the doctype switches to quirks mode. It decides
    // what `<meta name="color-scheme" content="light dark">` leaves to the browser: the canvas,
    // default text and scroll bars.
    document.push_str("<style>:root{color-scheme:");
    document.push_str(scheme);
    document.push_str(" !important}</style>");
    if options.links == FrameLinks::Open {
        document.push_str("<base target=\"_blank\">");
    }
    document
}

/// Decides `prefers-color-scheme` in media queries: a query cannot ask for the scheme of a frame,
/// only for the browser's. The replacement is a media feature that is always or never true, so
/// that it composes as the original does (`and`, `not`, a list).
pub fn with_scheme(html: &str, scheme: Scheme) -> String {
    let mut decided = String::with_capacity(html.len() + 128);
    let mut rest = html;
    while let Some(open) = rest.find('(') {
        let (before, query) = rest.split_at(open + 1);
        decided.push_str(before);
        rest = query;
        if let Some((feature, length)) = decide_feature(query, scheme) {
            decided.push_str(feature);
            rest = &query[length..];
        }
    }
    decided.push_str(rest);
    decided
}

/// What replaces the media feature at the start of `query`, without its brackets, and how long the
/// original is. `None` if it is another feature, or no feature at all.
fn decide_feature(query: &str, scheme: Scheme) -> Option<(&'static str, usize)> {
    // Bounded, or many brackets without an end would each be compared with the whole rest.
    const MAX_FEATURE: usize = 64;
    let end = query.bytes().take(MAX_FEATURE).position(|byte| byte == b')')?;
    let feature = query[..end].trim().to_ascii_lowercase();
    let value = feature.strip_prefix("prefers-color-scheme")?.trim_start();
    let is_met = match value.strip_prefix(':') {
        Some(wanted) => wanted.trim() == <&str>::from(scheme),
        None if value.is_empty() => true,
        None => return None,
    };
    Some((if is_met { "min-width:0" } else { "max-width:0" }, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_queries_follow_the_chosen_scheme() {
        for (query, light, dark) in [
            ("(prefers-color-scheme: dark)", "(max-width:0)", "(min-width:0)"),
            ("( PREFERS-color-scheme :light )", "(min-width:0)", "(max-width:0)"),
            ("(prefers-color-scheme)", "(min-width:0)", "(min-width:0)"),
            (
                "screen and (max-width: 480px) and (prefers-color-scheme:dark), print",
                "screen and (max-width: 480px) and (max-width:0), print",
                "screen and (max-width: 480px) and (min-width:0), print",
            ),
            (
                "(color) and (not (prefers-color-scheme: dark))",
                "(color) and (not (max-width:0))",
                "(color) and (not (min-width:0))",
            ),
            (
                "(prefers-contrast: more) url(a) ((",
                "(prefers-contrast: more) url(a) ((",
                "(prefers-contrast: more) url(a) ((",
            ),
            ("(ü) 😀(", "(ü) 😀(", "(ü) 😀("),
        ] {
            assert_eq!(with_scheme(query, Scheme::Light), light);
            assert_eq!(with_scheme(query, Scheme::Dark), dark);
        }
    }

    #[test]
    fn a_hostile_email_can_neither_run_nor_load_nor_leave() {
        let logo: Url = "https://cdn.example/a;script-src *,b.png?x=1".parse().unwrap();
        let options = FrameOptions {
            scheme: Scheme::Dark,
            loading: ImageLoading::On,
            images: vec![&logo],
            links: FrameLinks::Inert,
        };
        let hostile = "<script>alert(1)</script><form action=//evil.example></form></iframe>\
            <img src=//evil.example/a.png>";
        let response = frame(hostile, &options);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        assert_eq!(
            directives,
            [
                "default-src 'none'",
                "style-src 'unsafe-inline'",
                "img-src data: https://cdn.example/a%3Bscript-src%20*%2Cb.png",
                "form-action 'none'",
                "base-uri 'none'",
                "frame-ancestors 'self'",
                "sandbox",
            ]
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let off = FrameOptions { loading: ImageLoading::Off, links: FrameLinks::Open, ..options };
        assert!(super::policy(&off).contains("img-src 'none'; "), "{}", super::policy(&off));
        assert!(!super::policy(&off).contains("allow-scripts"));
        assert!(!super::policy(&off).contains("allow-same-origin"));
    }
}
