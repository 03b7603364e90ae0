//! Rendering: templates and their filters, the headers of every answer, the two static files.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use super::ConsoleState;
use super::access::Visitor;
use super::pages;
use super::problem::{Problem, Unanswered};
use super::remedy;
use crate::format::locale::Language;
use crate::telemetry::chain;
use crate::web::cookie::hash;
use crate::web::letter_view;
use crate::web::private_page::page_headers;

/// The name and the source of a file in `templates/console`.
macro_rules! console_template {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/console/", $name)))
    };
}
pub(super) use console_template;

/// What every page has beside its view.
pub(super) struct PageHead<'a> {
    pub(super) template: &'static str,
    pub(super) title: &'a str,
    /// The same by command line.
    pub(super) command: &'a str,
}

#[derive(Debug)]
pub(super) struct ConsoleTemplates {
    environment: Environment<'static>,
    headers: HeaderMap,
    /// Changes with the static files, which browsers keep.
    version: String,
}

const STYLE: &str = concat!(
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/console/console.css")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/letter_view/letter_view.css")),
);
const SCRIPT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/console/console.js"));

const SHARED: [(&str, &str); 5] = [
    letter_view::TEMPLATE,
    console_template!("layout.html"),
    console_template!("parts.html"),
    console_template!("problem.html"),
    console_template!("sign_in.html"),
];

impl ConsoleTemplates {
    /// Compiles all templates, so that a broken one fails at start.
    pub(super) fn new() -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("when", when);
        environment.add_filter("tone", |word: &str| tone(word));
        environment.add_filter("in_console", remedy::in_console);
        environment.add_filter("first_upper", first_upper);
        environment.add_filter("language", language);
        environment.add_filter("words", |name: &str| name.replace('_', " "));
        for (name, source) in SHARED.into_iter().chain(pages::templates()) {
            environment.add_template(name, source)?;
        }
        let version = hex::encode(&hash(&[STYLE, SCRIPT].concat().into_bytes())[..6]);
        Ok(Self { environment, headers: headers(), version })
    }
}

fn headers() -> HeaderMap {
    let mut headers = page_headers(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
         frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    );
    for (name, value) in [
        // Not `no-referrer`: with it, browsers send `Origin: null` with our own forms, and over
        // plain http `Origin` is all that tells them from another site's.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "interest-cohort=()"),
        ("vary", "Authorization, Cookie"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

impl ConsoleState {
    /// A page of a signed-in visitor. The view's fields are the template's variables.
    pub(super) fn page(
        &self,
        visitor: &Visitor,
        head: &PageHead<'_>,
        view: impl Serialize,
    ) -> Result<Response, Problem> {
        let page = context! {
            title => head.title,
            command => head.command,
            path => visitor.uri.path(),
            navigation => Value::from(Serde(pages::navigation(visitor.uri.path()))),
            name => &visitor.name,
            can_act => visitor.can_act(),
            csrf => visitor.csrf(),
            said => visitor.said(),
        };
        let context = context! { page, ..Value::from(Serde(view)) };
        Ok(self.html(head.template, context)?.into_response())
    }

    pub(super) fn html(&self, template: &str, context: Value) -> Result<Html<String>, Problem> {
        let (now, version) = (self.console.clock.now().to_rfc3339(), &self.templates.version);
        let template = self.templates.environment.get_template(template)?;
        Ok(Html(template.render(context! { now, version, ..context })?))
    }

    fn problem_page(&self, problem: &Problem) -> Html<String> {
        match problem {
            Problem::Database(error) => {
                self.console.db.health().report(error, "cannot show a page of the console");
            }
            Problem::Template(error) => {
                tracing::error!(error = chain(error), "cannot render a page of the console");
            }
            Problem::SignIn(_)
            | Problem::WrongToken
            | Problem::TooOften(_)
            | Problem::ReadOnly
            | Problem::ForeignForm
            | Problem::Invalid(_)
            | Problem::NotFound(_)
            | Problem::Refused(_) => {}
        }
        let (title, text) = problem.words();
        self.html("problem.html", context! { title, text => &text }).unwrap_or(Html(text))
    }
}

/// Goes back to `path`, which says what was done.
pub(super) fn done(visitor: &Visitor, path: &str, said: &str) -> Response {
    let location = [(header::LOCATION, visitor.done(path, said))];
    (StatusCode::SEE_OTHER, location).into_response()
}

/// The outermost layer: pages for problems, and headers for every answer.
pub(super) async fn finish(State(state): State<ConsoleState>, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let mut response = match parts.extensions.remove::<Unanswered>() {
        Some(Unanswered(problem)) => (parts, state.problem_page(&problem)).into_response(),
        None => Response::from_parts(parts, body),
    };
    let headers = response.headers_mut();
    for (name, value) in &state.templates.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    response
}

/// The style sheet and the script: no secrets, so they need no sign-in.
pub(super) fn files() -> Router<ConsoleState> {
    let file = |kind: &'static str, text: &'static str| {
        let kept =
            [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=86400")];
        get(async move || (kept, text))
    };
    Router::new()
        .route("/console/console.css", file("text/css; charset=utf-8", STYLE))
        .route("/console/console.js", file("text/javascript; charset=utf-8", SCRIPT))
}

pub(super) fn html_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text that begins a sentence.
fn first_upper(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// A language by its code in `letters.locale`.
fn language(code: &str) -> String {
    let name = match code.parse() {
        Ok(Language::English) => "English",
        Ok(Language::German) => "German",
        Ok(Language::French) => "French",
        Err(_) => code,
    };
    name.to_owned()
}

/// A time with its age: `29 Nov 14:31 · 3 min ago`. A dash if there is none.
fn when(state: &minijinja::State<'_, '_>, at: Option<&str>) -> Value {
    let parse = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let Some(at) = at.and_then(parse) else { return "—".into() };
    let now = state.lookup("now").and_then(|now| parse(now.as_str()?)).unwrap_or(at);
    // Digits and fixed words only.
    Value::from_safe_string(format!(
        "<time datetime=\"{}\">{}</time> <span class=\"age\">{}</span>",
        at.format("%Y-%m-%dT%H:%M:%SZ"),
        at.format("%-d %b %Y %H:%M:%S"),
        age(at, now)
    ))
}

fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let (distance, is_past) = ((now - at).abs(), at <= now);
    let (number, unit) = match distance {
        distance if distance < TimeDelta::minutes(1) => (distance.num_seconds(), "s"),
        distance if distance < TimeDelta::hours(1) => (distance.num_minutes(), "min"),
        distance if distance < TimeDelta::days(2) => (distance.num_hours(), "h"),
        distance => (distance.num_days(), "days"),
    };
    if is_past { format!("{number} {unit} ago") } else { format!("in {number} {unit}") }
}

/// The color of a state; the word stands beside it.
fn tone(word: &str) -> &'static str {
    match word {
        "ok" | "sent" | "delivered" | "done" | "read" | "approved" | "in force" | "accepted"
        | "paid_out" | "fully_repaid" => "good",
        "waiting" | "sending" | "queued" | "claimed" | "pending" | "unread" | "undelivered" => {
            "busy"
        }
        "held" | "paused" | "warn" | "uncertain" | "warning" | "suppressed" | "wrong_mode" => {
            "warn"
        }
        "rejected" | "bounced" | "dead" | "unreadable" | "refused" | "error" | "malformed"
        | "not approved" | "wrong" => "bad",
        _ => "quiet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_number_and_a_direction() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (seconds, words) in [
            (0, "0 s ago"),
            (59, "59 s ago"),
            (61, "1 min ago"),
            (7_200, "2 h ago"),
            (200_000, "2 days ago"),
            (-90, "in 1 min"),
        ] {
            assert_eq!(age(now - TimeDelta::seconds(seconds), now), words);
        }
    }
}
