//! Lists as Stripe gives them (<https://docs.stripe.com/api/pagination>): pages, filters, and the refusal of what is unknown.

use serde_json::{Value, json};

use super::answer::Answer;
use super::api::Asked;

/// The parameters of lists that can be narrowed by the time of making.
pub(crate) const CREATED: [&str; 5] =
    ["created", "created[gt]", "created[gte]", "created[lt]", "created[lte]"];

/// Stripe refuses parameters that it does not know.
pub(crate) fn unknown(asked: &Asked, known: &[&[&str]]) -> Option<Answer> {
    const PAGING: [&str; 3] = ["limit", "starting_after", "ending_before"];
    let is_known =
        |name: &str| PAGING.contains(&name) || known.iter().any(|names| names.contains(&name));
    let strange = asked.query.keys().find(|name| !is_known(name))?;
    Some(Answer::invalid(
        Some("parameter_unknown"),
        &format!("Received unknown parameter: {strange}"),
    ))
}

/// Whether a field has the value that a parameter asks for, if it asks.
pub(crate) fn same(asked: &Asked, parameter: &str, field: &Value) -> bool {
    asked.query.get(parameter).is_none_or(|wanted| field == wanted.as_str())
}

pub(crate) fn created_fits(object: &Value, asked: &Asked) -> bool {
    time_fits(object, "created", asked)
}

/// Whether a time of an object is within the bounds that are asked for.
pub(crate) fn time_fits(object: &Value, field: &str, asked: &Asked) -> bool {
    let time = object[field].as_i64().unwrap_or_default();
    let bound = |end: &str| {
        asked.query.get(&format!("{field}{end}")).and_then(|bound| bound.parse::<i64>().ok())
    };
    bound("").is_none_or(|at| time == at)
        && bound("[gt]").is_none_or(|bound| time > bound)
        && bound("[gte]").is_none_or(|bound| time >= bound)
        && bound("[lt]").is_none_or(|bound| time < bound)
        && bound("[lte]").is_none_or(|bound| time <= bound)
}

/// A page of a list: newest first.
pub(crate) fn page<'a>(asked: &Asked, all: impl Iterator<Item = &'a Value>) -> Answer {
    let limit = match asked.query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => 10,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => {
            return Answer::invalid(Some("parameter_invalid_integer"), "Invalid limit: 1 to 100");
        }
    };
    let all: Vec<&Value> = all.collect();
    let place = |id: &String| all.iter().position(|object| object["id"] == id.as_str());
    let (after, before) = (asked.query.get("starting_after"), asked.query.get("ending_before"));
    let window = match (after.map(place), before.map(place)) {
        (Some(None), _) | (_, Some(None)) => {
            return Answer::invalid(
                Some("resource_missing"),
                "No such object to begin or end a page with",
            );
        }
        (Some(Some(_)), Some(Some(_))) => {
            return Answer::invalid(None, "starting_after and ending_before exclude each other");
        }
        (Some(Some(place)), None) => &all[place + 1..],
        // The last page before it, not the first of all.
        (None, Some(Some(place))) => &all[place.saturating_sub(limit)..place],
        (None, None) => &all[..],
    };
    let data: Vec<&Value> = window.iter().take(limit).copied().collect();
    let has_more = match before.map(place) {
        Some(Some(place)) => place > limit,
        Some(None) | None => window.len() > limit,
    };
    Answer::ok(json!({"object": "list", "data": data, "has_more": has_more, "url": asked.path}))
}
