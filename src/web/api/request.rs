//! Parsing of requests: the account in the path, the query, pagination, the body.

use std::error::Error;
use std::str::FromStr;

use axum::Json;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query as AxumQuery, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, Refusal};
use crate::http::body::{self, BodyLimits};
use crate::stripe::AccountId;

/// Default of `limit`.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;
/// A note of 500 characters, all of them escaped, is 6 KB; no other body is larger.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024;

/// The query string, deserialized; a rejection is [`Refusal::BadQuery`].
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = AxumQuery::try_from_uri(&parts.uri).map(|AxumQuery(query)| Self(query));
        query.map_err(|rejection| Refusal::BadQuery(innermost(&rejection).into()))
    }
}

/// The innermost error names the field and the reason; the outer ones only say that deserialization
/// failed.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The requested page of a list: `limit` and `cursor`.
pub(super) struct PageRequest<P> {
    limit: i64,
    /// Start after this entry.
    pub(super) after: Option<P>,
}

impl<P: FromStr> PageRequest<P> {
    pub(super) fn parse(limit: Option<i64>, cursor: Option<&str>) -> Result<Self, Refusal> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Refusal::BadQuery("limit must be from 1 to 1000".into()));
        }
        let after = cursor.map(str::parse).transpose();
        let after = after
            .map_err(|_| Refusal::BadQuery("cursor is not a next_cursor of this list".into()))?;
        Ok(Self { limit, after })
    }

    /// The number of rows to select: one more than the page, which shows whether another page
    /// follows.
    pub(super) fn fetch_limit(&self) -> i64 {
        self.limit + 1
    }

    /// Drops the extra row of `rows` and makes the rest a page.
    pub(super) fn respond<R, T>(
        &self,
        mut rows: Vec<R>,
        cursor: impl Fn(&R) -> String,
        entry: impl FnMut(R) -> T,
    ) -> Json<List<T>> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_more).map(cursor);
        Json(List { data: rows.into_iter().map(entry).collect(), next_cursor })
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    data: Vec<T>,
    /// Cursor of the next page; null on the last page.
    next_cursor: Option<String>,
}

impl Api {
    /// Reads the body within the service's time limit.
    pub async fn read_body(&self, request: Request, max_bytes: usize) -> Result<Bytes, Refusal> {
        let (head, body) = request.into_parts();
        let limits = BodyLimits { max_bytes, timeout: self.read_timeout };
        Ok(body::read(&head.headers, body, limits).await?)
    }

    pub(super) async fn read_json<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<T, Refusal> {
        parse_json(&self.read_body(request, MAX_BODY_BYTES).await?)
    }
}

pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::MalformedBody(error.to_string().into()))
}

/// The `{account}` of the path.
#[derive(Clone, Debug)]
pub(super) struct AccountPath(pub(super) AccountId);

/// The path parameter `{account}`, among others that a path may have.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct AccountParams {
    /// The connected account.
    #[param(pattern = "^acct_[A-Za-z0-9_-]{1,195}$", example = "acct_1Q2w3E4r5T6y7U8i")]
    account: String,
}

impl<S: Send + Sync> FromRequestParts<S> for AccountPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = Path::<AccountParams>::from_request_parts(parts, state).await;
        let Path(params) = params.map_err(|rejection| path_refusal(&rejection))?;
        params.account.parse().map(Self).map_err(|_| Refusal::BadAccount)
    }
}

/// Invalid UTF-8 in another parameter names an object that does not exist.
fn path_refusal(rejection: &PathRejection) -> Refusal {
    let is_elsewhere = matches!(rejection, PathRejection::FailedToDeserializePathParams(failed)
        if matches!(failed.kind(), ErrorKind::InvalidUtf8InPathParam { key } if key != "account"));
    if is_elsewhere { Refusal::NotFound } else { Refusal::BadAccount }
}
