//! `/api/v1/opt-outs` and `/api/v1/accounts/{account}/opt-out`: who wants no letters. Every call can be made twice: the second time
//! nothing changes, and the answer is the same.

use axum::Json;
use axum::extract::{Extension, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::account::{Account, OfAccount};
use super::keys::Caller;
use super::query::{self, PageOf, Query};
use super::{Api, Platform, Refusal};
use crate::consent::opt_outs::store::{self, OptOut};
use crate::consent::opt_outs::{Note, NoteError, OptOutRequest, OptOutSource, opt_out};
use crate::database::with_timeout;
use crate::format::text;
use crate::stripe::AccountId;

/// What may stand behind the `?` of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Entries of a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
    /// `ended`: those as well that hold no longer.
    #[param(inline)]
    include: Option<Include>,
}

/// What else the list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    /// Those as well that have ended.
    Ended,
}

/// A page of those who want no letters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OptOuts {
    data: Vec<OptOutEntry>,
    /// Where the next page begins; null after the last.
    next_cursor: Option<String>,
}

/// Somebody who wants no letters, or wanted none.
#[derive(Debug, Serialize, ToSchema)]
struct OptOutEntry {
    #[schema(example = "acct_1Q2w3E4r5T6y7U8i")]
    account: String,
    #[serde(flatten)]
    opt_out: Shown,
}

/// Whether an account wants no letters; where that is so, who said it and when.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OptOutStanding {
    #[schema(value_type = String, example = "acct_1Q2w3E4r5T6y7U8i")]
    account: AccountId,
    opted_out: bool,
    #[serde(flatten)]
    opt_out: Option<Shown>,
}

/// Who said so, and when. All of it is absent where the account may have letters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OptOut)]
struct Shown {
    /// `operator`, `link`, `one_click`, `api`, `import`, `complaint` or `sender`.
    #[schema(example = "api", required = false)]
    source: String,
    /// Which letters it is about: `capital_marketing`, all of them about Capital.
    #[schema(example = "capital_marketing", required = false)]
    scope: String,
    /// In whose words.
    note: Option<String>,
    #[schema(required = false)]
    opted_out_at: DateTime<Utc>,
    /// Since when it holds no longer.
    ended_at: Option<DateTime<Utc>>,
    /// Who said that.
    ended_by: Option<String>,
}

impl From<OptOut> for Shown {
    fn from(row: OptOut) -> Self {
        let OptOut { source, scope, note, opted_out_at, ended_at, ended_by, .. } = row;
        Self { source, scope, note, opted_out_at, ended_at, ended_by }
    }
}

/// List who wants no letters
///
/// In the order in which that was written down. A cursor is for going through all pages, not for following what is new.
#[utoipa::path(
    get,
    path = "/api/v1/opt-outs",
    operation_id = "listOptOuts",
    params(Wanted),
    responses((status = 200, body = OptOuts, description = "A page")),
)]
pub(super) async fn list(
    State(Platform { api, .. }): State<Platform>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<OptOuts>, Refusal> {
    let page = PageOf::read(wanted.limit, wanted.cursor.as_deref())?;
    let (after, limit) = (page.after.unwrap_or_default(), page.rows());
    let asked =
        store::OptOutPage { after, limit, with_ended: wanted.include == Some(Include::Ended) };
    let rows = with_timeout(store::list_page(&api.db, &asked)).await;
    let mut rows = api.done(rows, "cannot list the opt-outs")?;
    let next_cursor = page.cut(&mut rows, |row| row.opt_out_id.to_string());
    let entry = |row: OptOut| OptOutEntry { account: row.account_id.clone(), opt_out: row.into() };
    Ok(Json(OptOuts { data: rows.into_iter().map(entry).collect(), next_cursor }))
}

/// Show whether an account wants no letters
///
/// And where that is so, since when, and who said it.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/opt-out",
    operation_id = "showOptOut",
    params(OfAccount),
    responses((status = 200, body = OptOutStanding, description = "How the account stands")),
)]
pub(super) async fn show(
    State(Platform { api, .. }): State<Platform>,
    Account(account): Account,
) -> Result<Json<OptOutStanding>, Refusal> {
    api.standing(account).await
}

/// Stop an account's letters
///
/// From now on; none that wait are sent. One that wanted none before stays as it was written down first.
#[utoipa::path(
    put,
    path = "/api/v1/accounts/{account}/opt-out",
    operation_id = "beginOptOut",
    params(OfAccount),
    request_body(content = inline(Option<Told>), description = "Nothing, or in whose words"),
    responses((status = 200, body = OptOutStanding, description = "How the account stands now")),
)]
pub(super) async fn begin(
    State(Platform { api, .. }): State<Platform>,
    Extension(caller): Extension<Caller>,
    Account(account): Account,
    request: Request,
) -> Result<Json<OptOutStanding>, Refusal> {
    let note = read_note(&api, request).await?;
    let outcome = with_timeout(api.opt_out(&account, note.as_ref())).await;
    api.done(outcome, "cannot keep an opt-out")?;
    tracing::info!(account.id = %account, key.id = caller.key_id, "opted out by the API");
    api.standing(account).await
}

/// Let an account have letters again
///
/// Whoever said that it wanted none. Letters that were suppressed stay so.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{account}/opt-out",
    operation_id = "endOptOut",
    params(OfAccount),
    responses((status = 200, body = OptOutStanding, description = "How the account stands now")),
)]
pub(super) async fn end(
    State(Platform { api, .. }): State<Platform>,
    Extension(caller): Extension<Caller>,
    Account(account): Account,
) -> Result<Json<OptOutStanding>, Refusal> {
    let now = api.clock.now();
    let ended = with_timeout(store::end(
        &api.db,
        account.as_str(),
        &OptOutSource::ALL,
        OptOutSource::Api,
        now,
    ))
    .await;
    if api.done(ended, "cannot end an opt-out")? {
        tracing::info!(account.id = %account, key.id = caller.key_id, "opt-out ended by the API");
    }
    api.standing(account).await
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
        let mut tx = self.db.begin().await?;
        opt_out(&mut tx, &request, now).await?;
        tx.commit().await
    }

    /// How an account stands now.
    async fn standing(&self, account: AccountId) -> Result<Json<OptOutStanding>, Refusal> {
        let found = with_timeout(store::find_active(&self.db, account.as_str())).await;
        let found = self.done(found, "cannot look up an opt-out")?;
        Ok(Json(OptOutStanding {
            account,
            opted_out: found.is_some(),
            opt_out: found.map(Shown::from),
        }))
    }
}

/// In whose words.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Told {
    /// One line; a blank one is none.
    #[schema(
        max_length = 500,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*$",
        example = "asked in the dashboard"
    )]
    note: Option<String>,
}

/// The note in a body that may as well be empty.
async fn read_note(api: &Api, request: Request) -> Result<Option<Note>, Refusal> {
    let body = query::read_body(api, request).await?;
    let told: Option<Told> = if body.is_empty() { None } else { query::json(&body)? };
    let note = told.and_then(|told| told.note).filter(|note| !text::plain(note).is_empty());
    note.map(|note| note.parse())
        .transpose()
        .map_err(|error: NoteError| Refusal::MalformedBody(error.to_string().into()))
}
