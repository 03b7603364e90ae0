//! What a request asks for: what stands behind the `?`, which page of a list, what the body says.

use axum::extract::{FromRequestParts, Query, Request};
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Api, Refusal};
use crate::http::body::{self, Limits};

/// Entries of a page, where nobody says how many.
const USUAL_PAGE: i64 = 100;
const LARGEST_PAGE: i64 = 1000;
/// A note of 500 characters, all of them escaped, is 6 KB; nothing else that is sent is longer.
const MOST_BYTES: usize = 16 * 1024;

/// What stands behind the `?`, or the refusal.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Query::try_from_uri(&parts.uri).map(|Query(asked)| Self(asked)).map_err(|_| Refusal::BadQuery)
    }
}

/// How many entries a page is to have.
pub(super) fn page_size(given: Option<i64>) -> Result<i64, Refusal> {
    match given.unwrap_or(USUAL_PAGE) {
        size @ 1..=LARGEST_PAGE => Ok(size),
        _ => Err(Refusal::BadQuery),
    }
}

/// Takes the entry off that was read beyond a page's size, and says where the next page begins: none after the last.
pub(super) fn cut<T>(rows: &mut Vec<T>, size: i64, place: impl Fn(&T) -> String) -> Option<String> {
    let shown = usize::try_from(size).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    rows.last().filter(|_| has_more).map(|last| URL_SAFE_NO_PAD.encode(place(last)))
}

/// The place that a cursor stands for: to the caller it is a word without meaning.
pub(super) fn place(cursor: &str) -> Result<String, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Refusal::BadQuery)?;
    String::from_utf8(bytes).map_err(|_| Refusal::BadQuery)
}

/// Reads a body.
pub(super) async fn read_body(api: &Api, request: Request) -> Result<Bytes, Refusal> {
    let (head, body) = request.into_parts();
    let limits = Limits { max_bytes: MOST_BYTES, timeout: api.read_timeout };
    Ok(body::read(&head.headers, body, limits).await?)
}

/// Reads a body that is JSON.
pub(super) async fn read_json<T: DeserializeOwned>(api: &Api, request: Request) -> Result<T, Refusal> {
    let body = read_body(api, request).await?;
    serde_json::from_slice(&body).map_err(|_| Refusal::MalformedBody)
}
