//! The account that an address names.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::Refusal;
use crate::stripe::AccountId;

/// `{account}` in the address, as the id that it must be.
#[derive(Clone, Debug)]
pub(super) struct Account(pub(super) AccountId);

impl<S: Send + Sync> FromRequestParts<S> for Account {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(given) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| Refusal::BadAccount)?;
        given.parse().map(Self).map_err(|_| Refusal::BadAccount)
    }
}
