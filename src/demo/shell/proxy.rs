//! The reverse proxy: pages of the service and of the simulator under the demo's one address, each
//! with the demo's bar on top.

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

/// A page of ours is far smaller.
const MAX_PAGE: usize = 8 * 1024 * 1024;
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
pub(super) const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Sends a request on, and the answer back as it comes. `Err` if nothing listens there.
pub(in crate::demo) async fn forward(
    to: SocketAddr,
    request: Request,
) -> Result<Response, Response> {
    let unreachable = |error: &dyn std::error::Error| {
        tracing::debug!(error = %error, %to, "cannot forward a request");
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    };
    let stream = TcpStream::connect(to).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    // Ends with the response, or with the client.
    TaskTracker::new().spawn(connection);
    let response = sender.send_request(hop(request)).await.map_err(|error| unreachable(&error))?;
    Ok(response.map(Body::new))
}

/// `Connection` and what it names concern one hop (RFC 9110 section 7.6.1).
fn hop(mut request: Request) -> Request {
    request.headers_mut().remove(header::CONNECTION);
    request
}

/// Whether the answer is a page of its own, rather than one within a frame of ours.
pub(super) fn wants_bar(request: &HeaderMap) -> bool {
    request.get(&FETCH_DEST).is_none_or(|destination| destination == "document")
}

/// Puts the bar on top of an HTML page; other answers pass unchanged.
pub(super) async fn with_bar(response: Response, bar: &str, style: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    if !is_html(&parts.headers) {
        return Response::from_parts(parts, body);
    }
    let Ok(page) = to_bytes(body, MAX_PAGE).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let page = insert(&String::from_utf8_lossy(&page), bar, style);
    parts.headers.remove(header::CONTENT_LENGTH);
    allow_style(&mut parts.headers);
    Response::from_parts(parts, Body::from(page))
}

fn is_html(headers: &HeaderMap) -> bool {
    let starts = |name, text: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.contains(text))
    };
    starts(header::CONTENT_TYPE, "text/html") && !starts(header::CONTENT_SECURITY_POLICY, "sandbox")
}

fn insert(page: &str, bar: &str, style: &str) -> String {
    let link = format!("<link rel=\"stylesheet\" href=\"{style}\">\n</head>");
    let page = page.replacen("</head>", &link, 1);
    let Some(body) = page.find("<body") else { return page };
    let Some(end) = page[body..].find('>') else { return page };
    let (before, after) = page.split_at(body + end + 1);
    format!("{before}\n{bar}{after}")
}

/// Lets a page of ours show another one in a frame, as the merchants' page does.
pub(super) fn allow_frame(request: &HeaderMap, mut response: Response) -> Response {
    let is = |name: HeaderName, text| request.get(name).is_some_and(|value| value == text);
    if is(FETCH_DEST, "iframe") && is(FETCH_SITE, "same-origin") {
        change_policy(response.headers_mut(), |directive| {
            directive.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
        });
    }
    response
}

/// Adds `'self'` to what a page's policy allows as style sheets.
fn allow_style(headers: &mut HeaderMap) {
    change_policy(headers, |directive| {
        let lacks = directive.starts_with("style-src ") && !directive.contains("'self'");
        if lacks { format!("{directive} 'self'") } else { directive.to_owned() }
    });
}

fn change_policy(headers: &mut HeaderMap, change: impl Fn(&str) -> String) {
    let Some(policy) = headers.get(header::CONTENT_SECURITY_POLICY) else { return };
    let Ok(policy) = policy.to_str() else { return };
    let policy: Vec<String> = policy.split(';').map(|directive| change(directive.trim())).collect();
    if let Ok(policy) = policy.join("; ").parse() {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<html><head><title>a</title></head><body class=\"x\"><main></main></body>";

    async fn barred(headers: &[(HeaderName, &'static str)]) -> (HeaderMap, String) {
        let mut response = Response::new(Body::from(PAGE));
        for (name, value) in headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let (parts, body) = with_bar(response, "<nav></nav>", "/demo.css").await.into_parts();
        let body = to_bytes(body, MAX_PAGE).await.unwrap();
        (parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_page_gets_the_bar_and_may_load_its_style() {
        let html = (header::CONTENT_TYPE, "text/html; charset=utf-8");
        let policy = (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        );
        let (headers, page) = barred(&[html.clone(), policy]).await;
        assert!(page.contains("<link rel=\"stylesheet\" href=\"/demo.css\">\n</head>"), "{page}");
        assert!(page.contains("<body class=\"x\">\n<nav></nav><main>"), "{page}");
        assert_eq!(
            headers[header::CONTENT_SECURITY_POLICY],
            "default-src 'none'; style-src 'unsafe-inline' 'self'; frame-ancestors 'none'"
        );

        let sandboxed = (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
        assert_eq!(barred(&[html, sandboxed]).await.1, PAGE, "an email is shown as it is");
        assert_eq!(barred(&[(header::CONTENT_TYPE, "text/csv")]).await.1, PAGE);
    }

    #[test]
    fn a_page_within_a_frame_has_no_bar() {
        let mut headers = HeaderMap::new();
        assert!(wants_bar(&headers), "an old browser");
        headers.insert(&FETCH_DEST, HeaderValue::from_static("iframe"));
        assert!(!wants_bar(&headers));
    }

    #[test]
    fn only_our_own_pages_may_frame_another() {
        for (site, allowed) in [("same-origin", "'self'"), ("cross-site", "'none'")] {
            let mut request = HeaderMap::new();
            request.insert(&FETCH_DEST, HeaderValue::from_static("iframe"));
            request.insert(&FETCH_SITE, HeaderValue::from_static(site));
            let mut response = Response::new(Body::empty());
            let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            let framed = allow_frame(&request, response);
            let policy = framed.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert_eq!(policy, format!("default-src 'none'; frame-ancestors {allowed}"));
        }
    }
}
