//! Why a page was not shown or an act not done, as an answer.
//!
//! A handler returns a [`Problem`]; the router's outermost layer makes a page of it, so that
//! handlers and extractors need no templates.

use std::sync::Arc;

use axum::http::header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::database::is_unstorable;
use crate::letters::wording::approvals::WithdrawError;
use crate::operators::acts::ActError;

#[derive(Debug)]
pub(super) enum Problem {
    /// No one is signed in: the page to return to after the sign-in.
    SignIn(Uri),
    /// The token of the request is none of ours.
    WrongToken,
    /// Come back after so many seconds.
    TooOften(u64),
    /// The role may look and not act.
    ReadOnly,
    /// The form did not come from a page of this session.
    ForeignForm,
    Invalid(String),
    /// What was to be found.
    NotFound(String),
    /// The act is not possible in this state, and why.
    Refused(String),
    Database(sqlx::Error),
    Template(minijinja::Error),
}

/// A [`Problem`] on its way to the layer that makes a page of it.
#[derive(Clone)]
pub(super) struct Unanswered(pub(super) Arc<Problem>);

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if is_unstorable(&error) {
            // Text that no column takes, such as NUL: the database is well.
            return Self::Invalid("No such text can be stored or found here.".to_owned());
        }
        Self::Database(error)
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Refused(why) => Self::Refused(format!("{why}.")),
            ActError::Database(error) => error.into(),
        }
    }
}

impl From<WithdrawError> for Problem {
    fn from(error: WithdrawError) -> Self {
        match error {
            WithdrawError::NoneMatches => {
                Self::Refused("No approval in force matches: reload the page.".to_owned())
            }
            WithdrawError::Ambiguous(_) => Self::Refused(format!("{error}.")),
            WithdrawError::Database(error) => error.into(),
        }
    }
}

impl From<minijinja::Error> for Problem {
    fn from(error: minijinja::Error) -> Self {
        Self::Template(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Self::SignIn(asked) = &self {
            let next = asked.path_and_query().map_or("/console", |asked| asked.as_str());
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("next", next)
                .finish();
            let location = [(LOCATION, format!("/console/sign-in?{query}"))];
            return (StatusCode::SEE_OTHER, location).into_response();
        }
        let mut response = self.status().into_response();
        if let Self::TooOften(seconds) = self {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::WrongToken) {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(Unanswered(Arc::new(self)));
        response
    }
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::SignIn(_) => StatusCode::SEE_OTHER,
            Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::ReadOnly | Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Template(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A title, and a sentence that says what to do.
    pub(super) fn words(&self) -> (&'static str, String) {
        match self {
            Self::SignIn(_) => ("Sign in", "Sign in to see this page.".to_owned()),
            Self::WrongToken => (
                "Wrong token",
                "The token is neither ops.token nor ops.read_only_token.".to_owned(),
            ),
            Self::TooOften(seconds) => {
                ("Too many attempts", format!("Try again in {seconds} seconds."))
            }
            Self::ReadOnly => (
                "Read only",
                "The read-only token shows everything and changes nothing. Sign in with ops.token \
                 to act."
                    .to_owned(),
            ),
            Self::ForeignForm => (
                "Form refused",
                "The form was not sent from a page of this session, so nothing was done. Open the \
                 page again and repeat the act."
                    .to_owned(),
            ),
            Self::Invalid(why) => ("Not understood", why.clone()),
            Self::NotFound(what) => ("Not found", format!("{what} is not known here.")),
            Self::Refused(why) => ("Not done", why.clone()),
            Self::Database(_) => {
                ("Database unavailable", "The database did not answer. Try again.".to_owned())
            }
            Self::Template(_) => {
                ("Page failed", "The page could not be made. The log says why.".to_owned())
            }
        }
    }
}
