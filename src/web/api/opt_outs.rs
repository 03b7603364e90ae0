//! `/api/v1/opt-outs` and `/api/v1/accounts/{account}/opt-out`: accounts that receive no emails.
//! Every call is idempotent: a repeat changes nothing and returns the same response.

use axum::Json;
use axum::extract::{Extension, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::keys::Caller;
use super::request::{
    AccountParams, AccountPath, List, MAX_BODY_BYTES, PageRequest, Query, parse_json,
};
use super::{Api, Platform, Refusal};
use crate::consent::opt_outs::store::{self, OptOut};
use crate::consent::opt_outs::{Note, NoteError, OptOutRequest, OptOutSource, opt_out};
use crate::format::text;
use crate::stripe::AccountId;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OptOutsQuery {
    /// Maximum number of entries.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
    /// `ended`: also list opt-outs that have ended.
    #[param(inline)]
    include: Option<Include>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    /// Opt-outs that have ended, too.
    Ended,
}

/// An account's opt-out, current or ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OptOutEntry {
    #[schema(example = "acct_1Q2w3E4r5T6y7U8i")]
    account: String,
    #[serde(flatten)]
    opt_out: OptOutDetails,
}

/// Whether an account has opted out; if so, with the details.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OptOutStanding)]
pub(super) struct OptOutStatus {
    #[schema(value_type = String, example = "acct_1Q2w3E4r5T6y7U8i")]
    account: AccountId,
    opted_out: bool,
    #[serde(flatten)]
    opt_out: Option<OptOutDetails>,
}

/// How and when the account opted out. Every field is absent if it has not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OptOut)]
struct OptOutDetails {
    /// `operator`, `link`, `one_click`, `api`, `import`, `complaint` or `sender`.
    #[schema(example = "api", required = false)]
    source: String,
    /// What the opt-out covers: `capital_marketing` is every email about Capital.
    #[schema(example = "capital_marketing", required = false)]
    scope: String,
    /// The note given with the opt-out.
    note: Option<String>,
    #[schema(required = false)]
    opted_out_at: DateTime<Utc>,
    /// When it ended.
    ended_at: Option<DateTime<Utc>>,
    /// How it ended; the values are those of `source`.
    ended_by: Option<String>,
}

impl From<OptOut> for OptOutDetails {
    fn from(row: OptOut) -> Self {
        let OptOut { source, scope, note, opted_out_at, ended_at, ended_by, .. } = row;
        Self { source, scope, note, opted_out_at, ended_at, ended_by }
    }
}

/// List opt-outs
///
/// In the order in which they were recorded. A cursor pages through the list once; it does not
/// follow new entries.
#[utoipa::path(
    get,
    path = "/api/v1/opt-outs",
    operation_id = "listOptOuts",
    params(OptOutsQuery),
    responses((status = 200, body = List<OptOutEntry>, description = "A page")),
)]
pub(super) async fn list(
    State(Platform { api, .. }): State<Platform>,
    Query(query): Query<OptOutsQuery>,
) -> Result<Json<List<OptOutEntry>>, Refusal> {
    let page = PageRequest::parse(query.limit, query.cursor.as_deref())?;
    let (after, limit) = (page.after.unwrap_or_default(), page.fetch_limit());
    let page_query =
        store::OptOutPage { after, limit, with_ended: query.include == Some(Include::Ended) };
    let list = store::list_page(&api.db, &page_query);
    let rows = api.query("cannot list the opt-outs", list).await?;
    let entry = |row: OptOut| OptOutEntry { account: row.account_id.clone(), opt_out: row.into() };
    Ok(page.respond(rows, |row| row.opt_out_id.to_string(), entry))
}

/// Show whether an account has opted out
///
/// If so, since when and how.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/opt-out",
    operation_id = "showOptOut",
    params(AccountParams),
    responses((status = 200, body = OptOutStatus, description = "The current state")),
)]
pub(super) async fn show(
    State(Platform { api, .. }): State<Platform>,
    AccountPath(account): AccountPath,
) -> Result<Json<OptOutStatus>, Refusal> {
    api.opt_out_status(account).await
}

/// Opt an account out
///
/// Effective at once: emails that wait are not sent. If the account has already opted out, the
/// first record is kept.
#[utoipa::path(
    put,
    path = "/api/v1/accounts/{account}/opt-out",
    operation_id = "beginOptOut",
    params(AccountParams),
    request_body(content = inline(Option<OptOutBody>), description = "Empty, or a note"),
    responses((status = 200, body = OptOutStatus, description = "The new state")),
)]
pub(super) async fn create(
    State(Platform { api, .. }): State<Platform>,
    Extension(caller): Extension<Caller>,
    AccountPath(account): AccountPath,
    request: Request,
) -> Result<Json<OptOutStatus>, Refusal> {
    let note = read_note(&api, request).await?;
    api.query("cannot store an opt-out", api.opt_out(&account, note.as_ref())).await?;
    tracing::info!(
        account.id = %account,
        key.id = caller.key_id,
        "an account opted out by the API"
    );
    api.opt_out_status(account).await
}

/// End an account's opt-out
///
/// However the account opted out. Emails that were suppressed stay suppressed.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{account}/opt-out",
    operation_id = "endOptOut",
    params(AccountParams),
    responses((status = 200, body = OptOutStatus, description = "The new state")),
)]
pub(super) async fn end(
    State(Platform { api, .. }): State<Platform>,
    Extension(caller): Extension<Caller>,
    AccountPath(account): AccountPath,
) -> Result<Json<OptOutStatus>, Refusal> {
    let (made_by, ended_by, now) = (OptOutSource::ALL, OptOutSource::Api, api.clock.now());
    let end = store::end(&api.db, account.as_str(), made_by, ended_by, now);
    if api.query("cannot end an opt-out", end).await? {
        tracing::info!(
            account.id = %account,
            key.id = caller.key_id,
            "an opt-out was ended by the API"
        );
    }
    api.opt_out_status(account).await
}

impl Api {
    async fn opt_out(&self, account: &AccountId, note: Option<&Note>) -> sqlx::Result<()> {
        let now = self.clock.now();
        let request = OptOutRequest {
            account_id: account.as_str(),
            source: OptOutSource::Api,
            note: note.map(Note::as_str),
            since: now,
        };
        // One transaction: the opt-out and the suppression of the letters that wait.
        let mut tx = self.db.begin().await?;
        opt_out(&mut tx, &request, now).await?;
        tx.commit().await
    }

    async fn opt_out_status(&self, account: AccountId) -> Result<Json<OptOutStatus>, Refusal> {
        let find = store::find_active(&self.db, account.as_str());
        let found = self.query("cannot look up an opt-out", find).await?;
        Ok(Json(OptOutStatus {
            account,
            opted_out: found.is_some(),
            opt_out: found.map(OptOutDetails::from),
        }))
    }
}

/// The optional body of a new opt-out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OptOutBody {
    /// One line. A blank note counts as none.
    #[schema(
        max_length = 500,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*$",
        example = "asked in the dashboard"
    )]
    note: Option<String>,
}

/// The note of the body, which may be empty.
async fn read_note(api: &Api, request: Request) -> Result<Option<Note>, Refusal> {
    let body = api.read_body(request, MAX_BODY_BYTES).await?;
    let body: Option<OptOutBody> = if body.is_empty() { None } else { parse_json(&body)? };
    // A control character is an error, even alone.
    let is_note = |note: &String| note.contains(char::is_control) || !text::plain(note).is_empty();
    let note = body.and_then(|body| body.note).filter(is_note);
    note.map(|note| note.parse())
        .transpose()
        .map_err(|error: NoteError| Refusal::MalformedBody(error.to_string().into()))
}
