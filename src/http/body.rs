//! Reads a request's body, as large and as slow as it may be and no more.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest that is read.
    pub max_bytes: usize,
    /// From the end of the headers to the end of the body.
    pub timeout: Duration,
}

/// Why there is no body. The log has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is larger than it may be, or says that it will be.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The line broke, or it is none.
    Broken,
}

/// Reads the whole body. One that announces too much is not read at all.
pub async fn read(headers: &HeaderMap, body: Body, limits: Limits) -> Result<Bytes, BodyError> {
    let limit = limits.max_bytes;
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        tracing::warn!(announced, limit, "body too large");
        return Err(BodyError::TooLarge);
    }
    let reading = Limited::new(body, limit).collect();
    match tokio::time::timeout(limits.timeout, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            tracing::warn!(limit, "body too large");
            Err(BodyError::TooLarge)
        }
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "the body broke off");
            Err(BodyError::Broken)
        }
        Err(_) => {
            tracing::warn!("the body did not arrive in time");
            Err(BodyError::TooSlow)
        }
    }
}
