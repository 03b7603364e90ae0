//! The merchants, and the Capital section of one of them as the merchant sees it.

use axum::extract::{Query, State};
use axum::response::Response;
use minijinja::context;
use serde::Deserialize;

use super::ShellState;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice {
    account: Option<String>,
    #[serde(default)]
    width: Width,
}

/// Of the frame.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Width {
    #[default]
    Desktop,
    Phone,
}

pub(super) async fn show(
    State(state): State<ShellState>,
    Query(choice): Query<Choice>,
) -> Response {
    let simulator = &state.shell.simulator;
    let accounts = simulator.accounts();
    let chosen = choice.account.as_ref().or(accounts.first());
    let merchants = accounts.iter().filter_map(|id| {
        let account = simulator.account(id)?;
        let offer = simulator.newest_offer(id).unwrap_or_default();
        let status = offer["status"].as_str().unwrap_or("no offer").replace('_', " ");
        Some(context! {
            id,
            name => account["business_profile"]["name"].as_str().unwrap_or("(no name)"),
            country => account["country"].as_str().unwrap_or_default(),
            email => account["email"].as_str(),
            status,
            is_current => chosen == Some(id),
        })
    });
    let merchants: Vec<_> = merchants.collect();
    state.page("merchants.html", context! { merchants, is_phone => choice.width == Width::Phone })
}
