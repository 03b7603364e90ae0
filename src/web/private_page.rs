//! The response headers of pages for signed-in people: the Capital section and the console.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

/// The headers of a page with this Content-Security-Policy: no caching, no sniffing, no indexing,
/// and no `Referer`.
pub fn page_headers(policy: &str) -> HeaderMap {
    let policy = HeaderValue::from_str(policy).expect("a policy is plain ASCII");
    let fixed = HeaderValue::from_static;
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (HeaderName::from_static("x-robots-tag"), fixed("noindex")),
    ])
}

/// Forbids caching and `Referer` in every response, including redirects, files and 405s, which do
/// not come from a template. URLs may contain a token.
pub(super) async fn keep_private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in
        [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")]
    {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
