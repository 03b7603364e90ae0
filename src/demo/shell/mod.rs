//! The demo's one address: what each tab shows comes from the service, from the simulator or from
//! the mailbox, under the paths that they have on their own.
//!
//! | path | from |
//! |---|---|
//! | `/`, `/merchants` | here |
//! | `/mailbox` | the mail server of the demo |
//! | `/_simulator`, `/_connect`, `/dashboard`, `/v1` | the simulated Stripe |
//! | `/console`, `/metrics` | the service's address for operators, signed in |
//! | everything else | the service's public address |
//!
//! Because visitors of the console are signed in, requests that another site makes a browser send
//! are refused.

mod merchants;
mod proxy;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use minijinja::{Environment, UndefinedBehavior, context};
use secrecy::{ExposeSecret, SecretString};
use stripe_simulator::Simulator;

use super::brand::DemoBrand;

pub(super) use proxy::forward;

/// What the shell leads to.
pub(super) struct Shell {
    /// Its own address.
    pub(super) address: SocketAddr,
    /// The service's public address.
    pub(super) service: SocketAddr,
    /// The service's address for operators.
    pub(super) ops: SocketAddr,
    pub(super) ops_token: SecretString,
    pub(super) stripe: SocketAddr,
    pub(super) simulator: Simulator,
    pub(super) brand: DemoBrand,
}

#[derive(Clone)]
struct ShellState {
    shell: Arc<Shell>,
    templates: Arc<Environment<'static>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Start,
    Mailbox,
    Merchants,
    Stripe,
    Console,
}

const STYLE: &str = include_str!("../../../templates/demo/demo.css");
const STYLE_PATH: &str = "/demo.css";
/// `ops.user_header`
pub(super) const USER_HEADER: &str = "x-demo-user";
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
     frame-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'";

const TEMPLATES: [(&str, &str); 5] = [
    ("layout.html", include_str!("../../../templates/demo/layout.html")),
    ("bar.html", include_str!("../../../templates/demo/bar.html")),
    ("start.html", include_str!("../../../templates/demo/start.html")),
    ("merchants.html", include_str!("../../../templates/demo/merchants.html")),
    ("away.html", include_str!("../../../templates/demo/away.html")),
];

impl Tab {
    const ALL: [Self; 4] = [Self::Mailbox, Self::Merchants, Self::Stripe, Self::Console];

    /// The tab that a path belongs to.
    fn of(path: &str) -> Self {
        match first_segment(path) {
            "mailbox" => Self::Mailbox,
            "_simulator" => Self::Stripe,
            "console" => Self::Console,
            "merchants" | "dashboard" | "capital" | "unsubscribe" | "_connect" => Self::Merchants,
            _ => Self::Start,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Mailbox => "Mailbox",
            Self::Merchants => "Merchants",
            Self::Stripe => "Simulated Stripe",
            Self::Console => "Console",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Start => "/",
            Self::Mailbox => "/mailbox",
            Self::Merchants => "/merchants",
            Self::Stripe => "/_simulator/",
            Self::Console => "/console",
        }
    }
}

fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// The router of the address. `mailbox` serves the paths below `/mailbox`.
pub(super) fn router(shell: Shell, mailbox: Router) -> Result<Router, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, text) in TEMPLATES {
        templates.add_template(name, text)?;
    }
    let state = ShellState { shell: Arc::new(shell), templates: Arc::new(templates) };
    let pages = Router::new()
        .route("/", get(start))
        .route("/merchants", get(merchants::show))
        .route(STYLE_PATH, get(|| async { ([(header::CONTENT_TYPE, "text/css")], STYLE) }))
        .merge(state.shell.brand.router())
        .route("/{*path}", any(elsewhere))
        .with_state(state.clone())
        .merge(mailbox)
        .layer(from_fn_with_state(state.clone(), add_bar))
        .layer(from_fn_with_state(state, refuse_other_sites));
    Ok(pages)
}

/// A page of another site may lead here, and may not act here. `Host` guards against names that
/// another site has pointed to this address.
async fn refuse_other_sites(
    State(state): State<ShellState>,
    request: Request,
    next: Next,
) -> Response {
    let port = state.shell.address.port();
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let ours = [state.shell.address.to_string(), format!("localhost:{port}")];
    if !host.is_some_and(|host| ours.iter().any(|name| name == host)) {
        let text = format!("This is the demo at http://{}/.\n", state.shell.address);
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let site = request.headers().get(&proxy::FETCH_SITE);
    // Programs, such as `curl`, send none.
    let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    if is_foreign && !reads {
        return (StatusCode::FORBIDDEN, "This form was sent by another site.\n").into_response();
    }
    next.run(request).await
}

async fn add_bar(State(state): State<ShellState>, request: Request, next: Next) -> Response {
    let (tab, headers) = (Tab::of(request.uri().path()), request.headers().clone());
    let response = next.run(request).await;
    if !proxy::wants_bar(&headers) {
        return proxy::allow_frame(&headers, response);
    }
    match state.bar(tab) {
        Ok(bar) => proxy::with_bar(response, &bar, STYLE_PATH).await,
        Err(error) => problem(&error),
    }
}

async fn elsewhere(State(state): State<ShellState>, mut request: Request) -> Response {
    let shell = &state.shell;
    let to = match first_segment(request.uri().path()) {
        "_simulator" | "_connect" | "dashboard" | "v1" => shell.stripe,
        "console" | "metrics" => {
            sign_in(request.headers_mut(), &shell.ops_token);
            shell.ops
        }
        _ => shell.service,
    };
    let is_page = accepts_html(request.headers());
    let answer = proxy::forward(to, request).await;
    if answer.is_err() && is_page {
        let page = state.page("away.html", context! {});
        return (StatusCode::SERVICE_UNAVAILABLE, page).into_response();
    }
    answer.unwrap_or_else(|response| response)
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

fn sign_in(headers: &mut HeaderMap, token: &SecretString) {
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())) {
        headers.insert(header::AUTHORIZATION, value);
        headers.insert(USER_HEADER, HeaderValue::from_static("you"));
    }
}

async fn start(State(state): State<ShellState>) -> Response {
    state.page("start.html", context! { address => state.shell.address.to_string() })
}

impl ShellState {
    fn bar(&self, current: Tab) -> Result<String, minijinja::Error> {
        let tabs = Tab::ALL.map(|tab| {
            context! { label => tab.label(), path => tab.path(), is_current => tab == current }
        });
        let name = &self.shell.brand.name;
        self.templates.get_template("bar.html")?.render(context! { tabs, name })
    }

    fn page(&self, template: &str, view: minijinja::Value) -> Response {
        let name = &self.shell.brand.name;
        let rendered = self
            .templates
            .get_template(template)
            .and_then(|template| template.render(context! { name, ..view }));
        match rendered {
            Ok(page) => ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response(),
            Err(error) => problem(&error),
        }
    }
}

fn problem(error: &minijinja::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot show this page: {error:#}\n"))
        .into_response()
}
