//! The pages at `/mailbox`: the list of messages, beside it the opened one.
//!
//! They work without scripts; the one script only refreshes the list. Messages are shown by
//! [`letter_view`], in which links work, because the demo is there to be clicked through.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::map_response_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};

use super::folder::{MAX_LISTED, MailFilter, MailFolder, MailList, MailSummary, StoredMail};
use crate::web::letter_view::{
    self, FrameLinks, LetterSources, LetterView, ParsedEmail, ViewQuery,
};
use crate::web::private_page::page_headers;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     img-src 'self' data:; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; \
     base-uri 'none'";

macro_rules! file {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $path))
    };
}

/// The console's look, so that both are one family.
const STYLE: &str = concat!(
    file!("console/console.css"),
    file!("letter_view/letter_view.css"),
    file!("mailbox/mailbox.css")
);
const SCRIPT: &str = file!("mailbox/mailbox.js");

struct Mailbox {
    folder: MailFolder,
    /// What letters may load: the logo.
    images: Vec<Url>,
    templates: Environment<'static>,
    headers: HeaderMap,
}

type Shared = Arc<Mailbox>;

/// What the address of a page selects beside the view of the letter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListQuery {
    q: String,
    to: String,
}

#[derive(Serialize)]
struct MailPage {
    query: ListFields,
    rows: Vec<Value>,
    total: usize,
    is_cut: bool,
    /// Whether the list is what a phone shows.
    is_list: bool,
    opened: Option<OpenedMail>,
    /// Where the script gets the list.
    refresh: String,
}

#[derive(Serialize)]
struct ListFields {
    q: String,
    to: String,
    /// `?q=…&to=…`, or nothing.
    suffix: String,
    /// Without the recipient.
    all: String,
}

#[derive(Serialize)]
struct OpenedMail {
    summary: Value,
    from: String,
    /// All mail to the same recipient.
    of_recipient: String,
    letter: LetterView,
}

/// The routes. Letters load no images but those at `images`. Fails if a template does not compile.
pub fn router(folder: MailFolder, images: Vec<Url>) -> Result<Router, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_filter("sent", sent);
    templates.add_filter("words", |name: &str| name.replace('_', " "));
    for (name, source) in [
        letter_view::TEMPLATE,
        ("mailbox.html", file!("mailbox/mailbox.html")),
        ("list.html", file!("mailbox/list.html")),
    ] {
        templates.add_template(name, source)?;
    }
    let shared = Arc::new(Mailbox { folder, images, templates, headers: page_headers(POLICY) });
    let text = |kind: &'static str, text: &'static str| {
        get(async move || ([(header::CONTENT_TYPE, kind)], text))
    };
    Ok(Router::new()
        .route("/mailbox", get(show_newest))
        .route("/mailbox/", get(show_newest))
        .route("/mailbox/list", get(show_list))
        .route("/mailbox/mailbox.css", text("text/css; charset=utf-8", STYLE))
        .route("/mailbox/mailbox.js", text("text/javascript; charset=utf-8", SCRIPT))
        .route("/mailbox/{id}", get(show))
        .route("/mailbox/{id}/html", get(show_frame))
        .route("/mailbox/{id}/message.eml", get(download))
        .layer(map_response_with_state(Arc::clone(&shared), add_headers))
        .with_state(shared))
}

/// The list, and the newest message where there is room for it.
async fn show_newest(
    State(mailbox): State<Shared>,
    Query(query): Query<ListQuery>,
    Query(view): Query<ViewQuery>,
) -> Result<Response, MailboxProblem> {
    let list = mailbox.list(&query).await?;
    let newest = match list.newest.first() {
        Some(newest) => mailbox.find(&newest.id).await?,
        None => None,
    };
    let page = mail_page(&query, list, newest.map(|mail| (mail, &view)), true);
    mailbox.render("mailbox.html", page)
}

async fn show(
    State(mailbox): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
    Query(view): Query<ViewQuery>,
) -> Result<Response, MailboxProblem> {
    let mail = mailbox.find(&id).await?.ok_or(MailboxProblem::NotFound)?;
    let list = mailbox.list(&query).await?;
    mailbox.render("mailbox.html", mail_page(&query, list, Some((mail, &view)), false))
}

/// The list alone, for the script.
async fn show_list(
    State(mailbox): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Response, MailboxProblem> {
    let list = mailbox.list(&query).await?;
    mailbox.render("list.html", mail_page(&query, list, None, true))
}

async fn show_frame(
    State(mailbox): State<Shared>,
    Path(id): Path<String>,
    Query(view): Query<ViewQuery>,
) -> Result<Response, MailboxProblem> {
    let mail = mailbox.find(&id).await?.ok_or(MailboxProblem::NotFound)?;
    let html = ParsedEmail::parse(&mail.bytes).html.ok_or(MailboxProblem::NotFound)?;
    Ok(letter_view::frame(&html, &view.options(FrameLinks::Open, &mailbox.images)))
}

async fn download(
    State(mailbox): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, MailboxProblem> {
    let mail = mailbox.find(&id).await?.ok_or(MailboxProblem::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, "message/rfc822"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"message.eml\""),
    ];
    Ok((headers, mail.bytes).into_response())
}

impl Mailbox {
    async fn list(&self, query: &ListQuery) -> Result<MailList, MailboxProblem> {
        let filter = MailFilter { search: query.q.clone(), recipient: query.to.clone() };
        let folder = self.folder.clone();
        Ok(blocking(move || folder.list(&filter)).await?)
    }

    async fn find(&self, id: &str) -> Result<Option<StoredMail>, MailboxProblem> {
        let (folder, id) = (self.folder.clone(), id.to_owned());
        Ok(blocking(move || folder.find(&id)).await?)
    }

    fn render(&self, template: &str, page: MailPage) -> Result<Response, MailboxProblem> {
        let template = self.templates.get_template(template)?;
        Ok(Html(template.render(Value::from(Serde(page)))?).into_response())
    }
}

/// Runs what waits for a disk on a thread that serves no requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.into()))
}

fn mail_page(
    query: &ListQuery,
    list: MailList,
    opened: Option<(StoredMail, &ViewQuery)>,
    is_list: bool,
) -> MailPage {
    let fields = ListFields::new(query);
    let id = opened.as_ref().map(|(mail, _)| mail.summary.id.clone());
    let row = |summary: MailSummary| {
        let is_opened = id.as_ref() == Some(&summary.id);
        context! { is_opened, ..Value::from(Serde(summary)) }
    };
    let refresh = format!("/mailbox/list{}", fields.suffix);
    MailPage {
        is_cut: list.total > MAX_LISTED,
        total: list.total,
        rows: list.newest.into_iter().map(row).collect(),
        is_list,
        opened: opened.map(|(mail, view)| open(&mail, view, &fields)),
        query: fields,
        refresh,
    }
}

fn open(mail: &StoredMail, view: &ViewQuery, fields: &ListFields) -> OpenedMail {
    let email = ParsedEmail::parse(&mail.bytes);
    let id = &mail.summary.id;
    let sources = LetterSources {
        page: format!("/mailbox/{id}"),
        frame: format!("/mailbox/{id}/html"),
        query: fields.suffix.trim_start_matches('?').to_owned(),
        links: FrameLinks::Open,
        raw: Some(&mail.bytes),
    };
    OpenedMail {
        of_recipient: format!("/mailbox{}", query_string(&[("to", &mail.summary.recipient)])),
        from: email.header("From").unwrap_or_default().replace('"', ""),
        letter: LetterView::new(&email, view, &sources),
        summary: Value::from(Serde(&mail.summary)),
    }
}

impl ListFields {
    fn new(query: &ListQuery) -> Self {
        let suffix = query_string(&[("q", &query.q), ("to", &query.to)]);
        let all = query_string(&[("q", &query.q)]);
        Self { q: query.q.clone(), to: query.to.clone(), suffix, all }
    }
}

/// The fields that have a value, after a `?`.
fn query_string(fields: &[(&str, &str)]) -> String {
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if encoded.is_empty() { encoded } else { format!("?{encoded}") }
}

/// Why a page cannot be shown.
enum MailboxProblem {
    NotFound,
    Folder(std::io::Error),
    Template(minijinja::Error),
}

impl From<std::io::Error> for MailboxProblem {
    fn from(error: std::io::Error) -> Self {
        Self::Folder(error)
    }
}

impl From<minijinja::Error> for MailboxProblem {
    fn from(error: minijinja::Error) -> Self {
        Self::Template(error)
    }
}

impl IntoResponse for MailboxProblem {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound => {
                let page = "<!doctype html><html lang=\"en\"><head><title>Not found</title></head>\
                     <body><main><h1>No such message</h1><p><a href=\"/mailbox\">All mail</a></p>\
                     </main></body></html>";
                (StatusCode::NOT_FOUND, Html(page)).into_response()
            }
            Self::Folder(error) => {
                tracing::warn!(%error, "cannot read the folder of the mailbox");
                (StatusCode::INTERNAL_SERVER_ERROR, format!("Cannot read the folder: {error}\n"))
                    .into_response()
            }
            Self::Template(error) => {
                tracing::error!(%error, "cannot render the mailbox");
                (StatusCode::INTERNAL_SERVER_ERROR, "Cannot render this page.\n").into_response()
            }
        }
    }
}

async fn add_headers(State(mailbox): State<Shared>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in &mailbox.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    response
}

/// The header `Date`: `29 Nov 2026, 18:31`, in UTC as everywhere in the product.
fn sent(at: Option<&str>) -> Value {
    let parse = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let Some(at) = at.and_then(parse) else { return "no date".into() };
    let at: DateTime<Utc> = at;
    // Digits and fixed words only.
    Value::from_safe_string(format!(
        "<time datetime=\"{}\">{}</time>",
        at.format("%Y-%m-%dT%H:%M:%SZ"),
        at.format("%-d %b %Y, %H:%M")
    ))
}
