//! Lists (<https://docs.stripe.com/api/pagination>): pages, newest first, and filters.

use serde_json::{Value, json};

use super::request::{ApiRequest, Parameters};
use super::response::ApiResponse;

const PAGINATION: [&str; 3] = ["limit", "starting_after", "ending_before"];

/// The filters of lists by the time of creation.
pub(crate) const CREATED: [&str; 5] =
    ["created", "created[gt]", "created[gte]", "created[lt]", "created[lte]"];

/// Refuses what is neither pagination nor one of the list's filters.
pub(crate) fn check_filters(request: &ApiRequest, filters: &[&[&str]]) -> Result<(), ApiResponse> {
    let mut known: Vec<&[&str]> = vec![&PAGINATION];
    known.extend(filters);
    request.query.refuse_unknown(&known)
}

/// Whether a field has the value of a filter, or the filter is absent.
pub(crate) fn matches(query: &Parameters, filter: &str, field: &Value) -> bool {
    query.get(filter).is_none_or(|wanted| field == wanted)
}

/// The bounds that a request puts on a time.
pub(crate) struct TimeFilter {
    field: &'static str,
    at: Option<i64>,
    after: Option<i64>,
    from: Option<i64>,
    before: Option<i64>,
    until: Option<i64>,
}

impl TimeFilter {
    /// Bounds in seconds since 1970. Anything else is refused.
    pub(crate) fn parse(query: &Parameters, field: &'static str) -> Result<Self, ApiResponse> {
        let bound = |suffix: &str| query.integer(&format!("{field}{suffix}"));
        Ok(Self {
            field,
            at: bound("")?,
            after: bound("[gt]")?,
            from: bound("[gte]")?,
            before: bound("[lt]")?,
            until: bound("[lte]")?,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let time = object[self.field].as_i64().unwrap_or_default();
        self.at.is_none_or(|at| time == at)
            && self.after.is_none_or(|bound| time > bound)
            && self.from.is_none_or(|bound| time >= bound)
            && self.before.is_none_or(|bound| time < bound)
            && self.until.is_none_or(|bound| time <= bound)
    }
}

/// One page of what matches. `all` is newest first.
pub(crate) fn page<'a>(
    request: &ApiRequest,
    all: impl Iterator<Item = &'a Value>,
    matches: impl Fn(&&'a Value) -> bool,
) -> Result<ApiResponse, ApiResponse> {
    page_of(request, all, |object| object, matches)
}

/// As [`page`], of things that have an object.
///
/// A cursor is a place among all objects: it need not match itself, so that an object may stop
/// matching while a client is between two pages. New objects come before every cursor.
pub(crate) fn page_of<'a, T: 'a>(
    request: &ApiRequest,
    all: impl Iterator<Item = &'a T>,
    object: impl Fn(&'a T) -> &'a Value,
    matches: impl Fn(&&'a T) -> bool,
) -> Result<ApiResponse, ApiResponse> {
    let limit = limit(&request.query)?;
    let all: Vec<&T> = all.collect();
    let position = |cursor: &str| -> Result<Option<usize>, ApiResponse> {
        let Some(id) = request.query.get(cursor) else { return Ok(None) };
        let found = all.iter().position(|one| object(one)["id"] == id);
        let missing = || {
            let message = format!("No such object: '{id}'");
            ApiResponse::invalid_request(Some("resource_missing"), &message).about(cursor)
        };
        found.map(Some).ok_or_else(missing)
    };
    // One more than the page shows whether there is more.
    let (mut data, is_backwards): (Vec<&T>, bool) =
        match (position("starting_after")?, position("ending_before")?) {
            (Some(_), Some(_)) => {
                let message = "You cannot parameterize both starting_after and ending_before.";
                return Err(ApiResponse::invalid_request(None, message));
            }
            // The page right before the cursor, not the first of all.
            (None, Some(end)) => {
                let before = all[..end].iter().rev().copied();
                (before.filter(matches).take(limit + 1).collect(), true)
            }
            (start, None) => {
                let rest = all[start.map_or(0, |position| position + 1)..].iter().copied();
                (rest.filter(matches).take(limit + 1).collect(), false)
            }
        };
    let has_more = data.len() > limit;
    data.truncate(limit);
    if is_backwards {
        data.reverse();
    }
    let data: Vec<&Value> = data.into_iter().map(object).collect();
    Ok(ApiResponse::ok(
        json!({"object": "list", "data": data, "has_more": has_more, "url": request.path}),
    ))
}

fn limit(query: &Parameters) -> Result<usize, ApiResponse> {
    match query.integer("limit")? {
        None => Ok(10),
        Some(limit) => {
            usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit)).ok_or_else(|| {
                let message = "Invalid limit: it must be between 1 and 100.";
                ApiResponse::invalid_parameter(Some("parameter_invalid_integer"), message, "limit")
            })
        }
    }
}
