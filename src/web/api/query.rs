//! What a request asks for: what stands behind the `?`, which page of a list, what the body says.

use std::error::Error;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query as AxumQuery, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Api, Refusal};
use crate::http::body::{self, BodyLimits};

/// Entries of a page, where nobody says how many.
const USUAL_PAGE: i64 = 100;
const MAX_PAGE: i64 = 1000;
/// A note of 500 characters, all of them escaped, is 6 KB; nothing else that is sent is longer.
const MAX_BYTES: usize = 16 * 1024;

/// What stands behind the `?`, or the refusal.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let asked = AxumQuery::try_from_uri(&parts.uri).map(|AxumQuery(asked)| Self(asked));
        asked.map_err(|rejection| Refusal::BadQuery(innermost(&rejection).into()))
    }
}

/// Why, in the words of whoever read it first: what stands around it says only that something was read.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Which page of a list: `limit` and `cursor`.
pub(super) struct PageOf<P> {
    size: i64,
    /// Where it begins: after this place.
    pub(super) after: Option<P>,
}

impl<P: FromStr> PageOf<P> {
    pub(super) fn read(limit: Option<i64>, cursor: Option<&str>) -> Result<Self, Refusal> {
        let size = limit.unwrap_or(USUAL_PAGE);
        if !(1..=MAX_PAGE).contains(&size) {
            return Err(Refusal::BadQuery("limit is from 1 to 1000".into()));
        }
        let after = cursor.map(str::parse).transpose().map_err(|_| {
            Refusal::BadQuery("cursor is none that this list gave as next_cursor".into())
        })?;
        Ok(Self { size, after })
    }

    /// How many rows to read: one more than is shown says whether there is another page.
    pub(super) fn rows(&self) -> i64 {
        self.size + 1
    }

    /// Takes the row off that is not shown, and says where the next page begins: none after the
    /// last.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> String) -> Option<String> {
        let shown = usize::try_from(self.size).unwrap_or(usize::MAX);
        let has_more = rows.len() > shown;
        rows.truncate(shown);
        rows.last().filter(|_| has_more).map(place)
    }
}

/// Reads a body.
pub(super) async fn read_body(api: &Api, request: Request) -> Result<Bytes, Refusal> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits { max_bytes: MAX_BYTES, timeout: api.read_timeout };
    Ok(body::read(&head.headers, body, limits).await?)
}

/// Reads a body that is JSON.
pub(super) async fn read_json<T: DeserializeOwned>(
    api: &Api,
    request: Request,
) -> Result<T, Refusal> {
    json(&read_body(api, request).await?)
}

/// What a body says.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::MalformedBody(error.to_string().into()))
}
