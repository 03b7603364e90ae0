//! The merchants, and the Capital section of one of them as the merchant sees it.

use axum::extract::{Query, State};
use axum::response::Response;
use minijinja::context;
use serde::Deserialize;
use stripe_simulator::Simulator;

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
        let email = account["email"].as_str();
        Some(context! {
            id,
            name => account["business_profile"]["name"].as_str().unwrap_or("(no name)"),
            country => account["country"].as_str().unwrap_or_default(),
            emails => email.map(mailbox_of),
            phase => phase(simulator, id),
            is_current => chosen == Some(id),
        })
    });
    let merchants: Vec<_> = merchants.collect();
    state.page("merchants.html", context! { merchants, is_phone => choice.width == Width::Phone })
}

/// Where the merchant stands, in Stripe's words for the status of an offer.
fn phase(simulator: &Simulator, account: &str) -> String {
    let offer = simulator.newest_offer(account).unwrap_or_default();
    let status = offer["status"].as_str().unwrap_or("no offer");
    let newest = status.replace('_', " ");
    let mut offers = simulator.offers().into_iter();
    let has_paid = offers.any(|one| one["account"] == account && one["status"] == "fully_repaid");
    let has_active = !simulator.active_financings(account).is_empty();
    match status {
        "paid_out" | "fully_repaid" => newest,
        _ if has_active => format!("paid out; new offer {newest}"),
        _ if has_paid => format!("fully repaid; new offer {newest}"),
        _ => newest,
    }
}

fn mailbox_of(email: &str) -> String {
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("to", email).finish();
    format!("/mailbox?{query}")
}
