//! The account that an address names.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Refusal;
use crate::stripe::AccountId;

/// `{account}` in the address, as the id that it must be.
#[derive(Clone, Debug)]
pub(super) struct Account(pub(super) AccountId);

/// The address may name more than the account.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfAccount {
    /// The connected account.
    #[param(pattern = "^acct_[A-Za-z0-9_-]{1,195}$", example = "acct_1Q2w3E4r5T6y7U8i")]
    account: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Account {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let named = Path::<OfAccount>::from_request_parts(parts, state).await;
        let Path(named) = named.map_err(|rejection| refusal(&rejection))?;
        named.account.parse().map(Self).map_err(|_| Refusal::BadAccount)
    }
}

/// What is no UTF-8 may stand in another place of the address: then there is no such thing.
fn refusal(rejection: &PathRejection) -> Refusal {
    let is_elsewhere = matches!(rejection, PathRejection::FailedToDeserializePathParams(failed)
        if matches!(failed.kind(), ErrorKind::InvalidUtf8InPathParam { key } if key != "account"));
    if is_elsewhere { Refusal::NotFound } else { Refusal::BadAccount }
}
