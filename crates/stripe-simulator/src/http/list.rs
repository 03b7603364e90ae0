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

/// One page of a list. `matching` is newest first.
pub(crate) fn page<'a>(
    request: &ApiRequest,
    matching: impl Iterator<Item = &'a Value>,
) -> Result<ApiResponse, ApiResponse> {
    let limit = limit(&request.query)?;
    let all: Vec<&Value> = matching.collect();
    let position = |cursor: &str| -> Result<Option<usize>, ApiResponse> {
        let Some(id) = request.query.get(cursor) else { return Ok(None) };
        let found = all.iter().position(|object| object["id"] == id);
        let missing = || {
            let message = format!("No such object: '{id}'");
            ApiResponse::invalid_request(Some("resource_missing"), &message).about(cursor)
        };
        found.map(Some).ok_or_else(missing)
    };
    let (window, has_more) = match (position("starting_after")?, position("ending_before")?) {
        (Some(_), Some(_)) => {
            let message = "You cannot parameterize both starting_after and ending_before.";
            return Err(ApiResponse::invalid_request(None, message));
        }
        (Some(position), None) => (&all[position + 1..], all.len() - position - 1 > limit),
        // The page right before the cursor, not the first of all.
        (None, Some(position)) => {
            (&all[position.saturating_sub(limit)..position], position > limit)
        }
        (None, None) => (&all[..], all.len() > limit),
    };
    let data: Vec<&Value> = window.iter().take(limit).copied().collect();
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
