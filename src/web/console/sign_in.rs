//! Signing in with a token and a name, and signing out.
//!
//! Attempts are limited per client and in total, before the token is compared.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use minijinja::context;

use super::access::{
    FormFields, FormOrigin, Submitted, client_of, is_https, origin, person, read_form,
};
use super::problem::Problem;
use super::{ConsoleState, LIMITED};
use crate::database::with_timeout;

const TEMPLATE: &str = "sign_in.html";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/console/sign-in", get(show).post(sign_in))
        .route("/console/sign-out", post(sign_out))
}

async fn show(State(state): State<ConsoleState>, uri: Uri) -> Result<Response, Problem> {
    let query = FormFields::parse(uri.query().unwrap_or_default().as_bytes());
    state.sign_in_page(StatusCode::OK, query.text("next"), None)
}

async fn sign_in(State(state): State<ConsoleState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // There is no session yet that a form could be tied to. Before the limits: another site must not
    // use them up.
    if origin(&parts.headers) == FormOrigin::Foreign {
        return Err(Problem::ForeignForm);
    }
    state.limits.sign_in.count(&client_of(&parts)).map_err(Problem::TooOften)?;
    state.limits.all_sign_ins.count("").map_err(Problem::TooOften)?;
    let fields = read_form(&parts.headers, body).await?;
    let next = fields.text("next");
    let Some(role) = state.console.settings.role_of(fields.text("token")) else {
        LIMITED.write("token", |suppressed| {
            tracing::warn!(log.suppressed = suppressed, "refused a sign-in to the console");
        });
        let why = "This is not the token of the console.";
        return state.sign_in_page(StatusCode::UNAUTHORIZED, next, Some(why));
    };
    let Some(name) = person(fields.text("name")) else {
        let why = "Enter your name: the log of acts keeps it.";
        return state.sign_in_page(StatusCode::BAD_REQUEST, next, Some(why));
    };
    let console = &state.console;
    let session = console.begin_session((&name, role), &parts.headers, is_https(&parts.headers));
    let cookie = with_timeout(session).await?;
    tracing::info!(name, role = role.as_str(), "signed in to the console");
    let location = [(header::LOCATION, own_page(next).to_owned())];
    Ok((StatusCode::SEE_OTHER, cookie, location).into_response())
}

async fn sign_out(
    State(state): State<ConsoleState>,
    submitted: Submitted,
) -> Result<Response, Problem> {
    let cookies = with_timeout(state.console.end_session(&submitted.headers)).await?;
    tracing::info!(name = submitted.visitor.name, "signed out of the console");
    let location = [(header::LOCATION, "/console/sign-in")];
    Ok((StatusCode::SEE_OTHER, cookies, location).into_response())
}

impl ConsoleState {
    fn sign_in_page(
        &self,
        status: StatusCode,
        next: &str,
        why: Option<&str>,
    ) -> Result<Response, Problem> {
        let html = self.html(TEMPLATE, context! { next => own_page(next), why })?;
        Ok((status, html).into_response())
    }
}

/// The page to go to after the sign-in: one of ours, whatever the URL says.
fn own_page(next: &str) -> &str {
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_ours = next.starts_with("/console/") || next.starts_with("/console?");
    if is_plain && is_ours { next } else { "/console" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_a_page_of_the_console_only() {
        for ours in ["/console/jobs", "/console/emails?state=held&after=1.x", "/console?x=1"] {
            assert_eq!(own_page(ours), ours);
        }
        for odd in [
            "",
            "//evil.example",
            "https://evil.example/console/",
            "/consoles",
            "/capital",
            "/console/\\evil.example",
            "/console/\r\nSet-Cookie: x=1",
        ] {
            assert_eq!(own_page(odd), "/console", "{odd}");
        }
    }
}
