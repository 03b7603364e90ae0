//! `/api/v1/opt-outs` and `/api/v1/accounts/{account}/opt-out`: who wants no letters. Every call can be made twice: the second time
//! nothing changes, and the answer is the same.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::keys::Caller;
use super::{Api, Refusal};
use crate::database::within;
use crate::flow::email::opt_out::store::{self, OptOut};
use crate::flow::email::opt_out::{Note, Source, Wish, opt_out};
use crate::http::body::{self, Limits};
use crate::stripe::AccountId;

/// A note of 500 characters, all of them escaped, is 6 KB.
const MOST_BYTES: usize = 16 * 1024;
const PAGE: i64 = 100;
const LARGEST_PAGE: i64 = 1000;

/// What may stand behind the `?` of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    limit: Option<i64>,
    cursor: Option<String>,
    include: Option<Include>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Include {
    /// Those as well that have ended.
    Ended,
}

/// A page of the list.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    data: Vec<Entry>,
    /// Where the next page begins; none after the last.
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Entry {
    account: String,
    #[serde(flatten)]
    opt_out: Shown,
}

/// How an account stands.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    account: AccountId,
    opted_out: bool,
    #[serde(flatten)]
    opt_out: Option<Shown>,
}

/// Who said so, and when.
#[derive(Debug, Serialize)]
struct Shown {
    source: String,
    scope: String,
    note: Option<String>,
    opted_out_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    ended_by: Option<String>,
}

impl From<OptOut> for Shown {
    fn from(row: OptOut) -> Self {
        let OptOut { source, scope, note, opted_out_at, ended_at, ended_by, .. } = row;
        Self { source, scope, note, opted_out_at, ended_at, ended_by }
    }
}

/// One page of those who want no letters, in the order in which that was written down.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Listed>, Refusal> {
    let Query(wanted) = wanted.map_err(|_| Refusal::BadQuery)?;
    let limit = wanted.limit.unwrap_or(PAGE);
    // The cursor is the place of the last row that was shown; to the caller it is a word without meaning.
    let after = wanted.cursor.map_or(Ok(0), |cursor| cursor.parse::<i64>());
    let (Ok(after), 1..=LARGEST_PAGE) = (after, limit) else { return Err(Refusal::BadQuery) };
    // One more than is shown says whether there is another page.
    let page = store::Page { after, limit: limit + 1, with_ended: wanted.include == Some(Include::Ended) };
    let mut rows = api.done(within(store::page(&api.db, &page)).await, "cannot list the opt-outs")?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let next_cursor = rows.last().filter(|_| has_more).map(|row| row.opt_out_id.to_string());
    let data =
        rows.into_iter().map(|row| Entry { account: row.account_id.clone(), opt_out: row.into() }).collect();
    Ok(Json(Listed { data, next_cursor }))
}

/// Whether an account wants no letters, since when, and who said so.
pub(super) async fn show(
    State(api): State<Api>,
    Account(account): Account,
) -> Result<Json<Standing>, Refusal> {
    api.standing(account).await
}

/// The account wants no letters, from now on; none that wait are sent. One that wanted none before stays as it was.
pub(super) async fn begin(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Account(account): Account,
    request: Request,
) -> Result<Json<Standing>, Refusal> {
    let note = read_note(&api, request).await?;
    let outcome = within(api.opt_out(&account, note.as_ref())).await;
    api.done(outcome, "cannot keep an opt-out")?;
    tracing::info!(account.id = %account, key.id = caller.key_id, "opted out by the API");
    api.standing(account).await
}

/// The account may have letters again, whoever said that it wanted none.
pub(super) async fn end(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Account(account): Account,
) -> Result<Json<Standing>, Refusal> {
    let now = api.clock.now();
    let ended = within(store::end(&api.db, account.as_str(), &Source::ALL, Source::Api, now)).await;
    if api.done(ended, "cannot end an opt-out")? {
        tracing::info!(account.id = %account, key.id = caller.key_id, "opt-out ended by the API");
    }
    api.standing(account).await
}

impl Api {
    async fn opt_out(&self, account: &AccountId, note: Option<&Note>) -> sqlx::Result<()> {
        let now = self.clock.now();
        let wish = Wish {
            account_id: account.as_str(),
            source: Source::Api,
            note: note.map(Note::as_str),
            since: now,
        };
        let mut tx = self.db.begin().await?;
        opt_out(&mut tx, &wish, now).await?;
        tx.commit().await
    }

    /// How an account stands now.
    async fn standing(&self, account: AccountId) -> Result<Json<Standing>, Refusal> {
        let found = within(store::current(&self.db, account.as_str())).await;
        let found = self.done(found, "cannot look up an opt-out")?;
        Ok(Json(Standing { account, opted_out: found.is_some(), opt_out: found.map(Shown::from) }))
    }

    /// What the database answered; or the refusal, when it did not.
    fn done<T>(&self, outcome: sqlx::Result<T>, doing: &str) -> Result<T, Refusal> {
        outcome.map_err(|error| {
            self.troubles.tell(&error, doing);
            Refusal::Unavailable
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    note: Option<String>,
}

/// The note in a body that may as well be empty.
async fn read_note(api: &Api, request: Request) -> Result<Option<Note>, Refusal> {
    let (head, body) = request.into_parts();
    let limits = Limits { max_bytes: MOST_BYTES, timeout: api.read_timeout };
    let body = body::read(&head.headers, body, limits).await?;
    let told: Told = if body.is_empty() {
        Told::default()
    } else {
        serde_json::from_slice(&body).map_err(|_| Refusal::MalformedBody)?
    };
    told.note.map(|note| note.parse()).transpose().map_err(|_| Refusal::MalformedBody)
}
