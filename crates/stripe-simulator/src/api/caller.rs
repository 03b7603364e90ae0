//! Who a call is made for, and what all calls check.

use serde_json::Value;

use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;
use crate::state::State;

/// A response, or the refusal that ended the work early.
pub(super) type Outcome = Result<ApiResponse, ApiResponse>;

/// The account that the request is made for (`Stripe-Account`); none is the platform itself.
pub(super) fn caller<'a>(
    state: &State,
    request: &'a ApiRequest,
) -> Result<Option<&'a str>, ApiResponse> {
    match request.header("Stripe-Account") {
        None => Ok(None),
        Some(account) if state.accounts.is_connected(account) => Ok(Some(account)),
        Some(account) => Err(no_access(account)),
    }
}

/// An account that is none of the platform's, or no longer.
pub(super) fn no_access(account: &str) -> ApiResponse {
    let message = format!(
        "The provided key does not have access to account '{account}' (or that account does not \
         exist). Application access may have been revoked."
    );
    let code = Some("account_invalid");
    ApiResponse::error(403, "invalid_request_error", code, &message).not_executed()
}

/// Stripe documents these calls for the platform alone, and does not say what they do for an
/// account.
pub(super) fn require_platform(state: &State, request: &ApiRequest) -> Result<(), ApiResponse> {
    if caller(state, request)?.is_some() {
        let message = "This belongs to the platform: send no Stripe-Account.";
        return Err(ApiResponse::invalid_request(None, message).not_executed());
    }
    Ok(())
}

/// What Stripe answers a platform that asks for its own financing is not documented.
pub(super) fn require_account<'a>(
    state: &State,
    request: &'a ApiRequest,
) -> Result<&'a str, ApiResponse> {
    caller(state, request)?.ok_or_else(|| {
        let message = "Financings belong to connected accounts: send Stripe-Account.";
        ApiResponse::invalid_request(None, message).not_executed()
    })
}

/// A call that takes no parameters.
pub(super) fn refuse_parameters(request: &ApiRequest) -> Result<(), ApiResponse> {
    request.query.refuse_unknown(&[])?;
    request.form().refuse_unknown(&[])
}

/// One object, or 404.
pub(super) fn found(object: Option<&Value>, kind: &str, id: &str) -> Outcome {
    object.cloned().map(ApiResponse::ok).ok_or_else(|| ApiResponse::not_found(kind, id))
}
