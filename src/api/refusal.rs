//! What a program hears when it does not get what it wants: a stable code and a fixed sentence, in the shape that the webhook has too.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Scope;
use crate::http::body::BodyError;

/// Why a request was refused. The codes are a promise: see `docs/api.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no key in it.
    MissingKey,
    /// Its key is none of ours, or was revoked.
    BadKey,
    /// Its key may not do that.
    MissingScope(Scope),
    /// It should be signed by a mail sender, and is not, or not by one that we listen to.
    BadSignature,
    /// The account in the address is none.
    BadAccount,
    /// What stands behind the `?` is not understood.
    BadQuery,
    /// The body is not what it should be.
    MalformedBody,
    /// The body is no report about a letter.
    UnreadableReport,
    /// This address does not know the method.
    MethodNotAllowed,
    /// The body is too large.
    BodyTooLarge,
    /// The body took too long.
    BodyTooSlow,
    /// Not now: later.
    Unavailable,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::MissingKey | Self::BadKey | Self::BadSignature => StatusCode::UNAUTHORIZED,
            Self::MissingScope(_) => StatusCode::FORBIDDEN,
            Self::BadAccount | Self::BadQuery | Self::MalformedBody | Self::UnreadableReport => {
                StatusCode::BAD_REQUEST
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::BadKey => "bad_key",
            Self::MissingScope(_) => "missing_scope",
            Self::BadSignature => "bad_signature",
            Self::BadAccount => "bad_account",
            Self::BadQuery => "bad_query",
            Self::MalformedBody => "malformed_body",
            Self::UnreadableReport => "unreadable_report",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::Unavailable => "unavailable",
        }
    }

    fn sentence(self) -> String {
        let fixed = match self {
            Self::MissingKey => {
                "There is no API key in the request. Send it as Authorization: Bearer, or as the password of Basic."
            }
            Self::BadKey => "The API key is none of ours, or was revoked.",
            Self::MissingScope(scope) => {
                return format!("The API key lacks the scope {}. Make one that has it.", scope.as_str());
            }
            Self::BadSignature => {
                "The request is not signed by a sender that is listened to. Check the settings under [inbound]."
            }
            Self::BadAccount => "The account in the address is not an id of the form acct_….",
            Self::BadQuery => "The query is not understood: see docs/api.md for what there is.",
            Self::MalformedBody => "The body is not the JSON that this address takes: see docs/api.md.",
            Self::UnreadableReport => {
                "The body is no report about a letter: neither a delivery report (RFC 3464) nor a feedback report (RFC 5965) \
                 that says which letter it is about."
            }
            Self::MethodNotAllowed => "This address does not know the method.",
            Self::BodyTooLarge => "The body is larger than this address takes.",
            Self::BodyTooSlow => "The body did not arrive in time.",
            Self::Unavailable => "That could not be done now. Send it again later.",
        };
        fixed.to_owned()
    }

    /// RFC 9110 section 11.6.1 wants every 401 to say what would do.
    fn challenges(self) -> &'static [&'static str] {
        match self {
            Self::MissingKey => {
                &["Bearer realm=\"capital-courier\"", "Basic realm=\"capital-courier\", charset=\"UTF-8\""]
            }
            Self::BadKey => &[
                "Bearer realm=\"capital-courier\", error=\"invalid_token\"",
                "Basic realm=\"capital-courier\", charset=\"UTF-8\"",
            ],
            Self::BadSignature => &["Signature realm=\"capital-courier\""],
            Self::MissingScope(_) => &["Bearer realm=\"capital-courier\", error=\"insufficient_scope\""],
            Self::BadAccount
            | Self::BadQuery
            | Self::MalformedBody
            | Self::UnreadableReport
            | Self::MethodNotAllowed
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::Unavailable => &[],
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::TooSlow => Self::BodyTooSlow,
            BodyError::Broken => Self::MalformedBody,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"error": {"code": self.code(), "message": self.sentence()}});
        let mut response = (self.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        for challenge in self.challenges() {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self == Self::Unavailable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
