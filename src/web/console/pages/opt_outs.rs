//! Opt-outs and suppressed addresses: lists, and the acts that add, end and lift.

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{ConsolePage, PAGE_ROWS, PageLinks};
use crate::consent::opt_outs::OptOutOutcome;
use crate::consent::opt_outs::store::{self, OptOut};
use crate::consent::suppression::{self, AddressHash, SuppressedAddress};
use crate::database::with_timeout;
use crate::operators::acts;
use crate::stripe::AccountId;
use crate::web::console::ConsoleState;
use crate::web::console::access::{Act, FormFields, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, done};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/opt-outs",
    label: Some("Opt-outs"),
    templates: &[console_template!("opt_outs.html"), console_template!("addresses.html")],
};

const ADDRESSES: &str = "/console/addresses";

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConsentQuery {
    /// `ended` shows ended opt-outs too.
    with: String,
    after: String,
}

#[derive(Serialize)]
struct OptOutsView {
    opt_outs: Vec<OptOut>,
    with_ended: bool,
    links: PageLinks,
}

#[derive(Serialize)]
struct AddressesView {
    addresses: Vec<SuppressedAddress>,
    links: PageLinks,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route("/console/opt-outs/add", post(add))
        .route("/console/opt-outs/end", post(end))
        .route(ADDRESSES, get(show_addresses))
        .route("/console/addresses/allow", post(allow))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    Query(query): Query<ConsentQuery>,
) -> Result<Response, Problem> {
    let (before, with_ended) = (query.after.parse().unwrap_or(i64::MAX), query.with == "ended");
    let page = store::newest_page(&state.console.db, before, PAGE_ROWS + 1, with_ended);
    let mut opt_outs = with_timeout(page).await?;
    let links = PageLinks::cut(&visitor, &mut opt_outs, |row| row.opt_out_id.to_string());
    let command = "capital-courier opt-out list";
    let head = PageHead { template: "opt_outs.html", title: "Opt-outs", command };
    state.page(&visitor, &head, OptOutsView { opt_outs, with_ended, links })
}

async fn add(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let account = account_of(&act.fields)?;
    let by = act.instruction();
    let said = match acts::opt_out(&state.console.db, &by, account.as_str()).await? {
        OptOutOutcome::Inserted => format!("{account} is opted out: no email leaves"),
        OptOutOutcome::Duplicate => format!("{account} was opted out already"),
    };
    Ok(done(&act.visitor, PAGE.path, &said))
}

async fn end(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let account = account_of(&act.fields)?;
    acts::end_opt_out(&state.console.db, &act.instruction(), account.as_str()).await?;
    Ok(done(&act.visitor, PAGE.path, &format!("{account} is no longer opted out")))
}

async fn show_addresses(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    Query(query): Query<ConsentQuery>,
) -> Result<Response, Problem> {
    let before = query.after.parse().unwrap_or(i64::MAX);
    let read = async {
        let mut tx = state.console.db.begin().await?;
        suppression::page(&mut tx, before, PAGE_ROWS + 1).await
    };
    let mut addresses = with_timeout(read).await?;
    let links =
        PageLinks::cut(&visitor, &mut addresses, |row| row.suppressed_address_id.to_string());
    let head = PageHead {
        template: "addresses.html",
        title: "Suppressed addresses",
        command: "capital-courier address list",
    };
    state.page(&visitor, &head, AddressesView { addresses, links })
}

async fn allow(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let address: AddressHash = act
        .fields
        .text("address")
        .parse()
        .map_err(|error: suppression::AddressHashError| Problem::Invalid(error.to_string()))?;
    let lifted = acts::allow_address(&state.console.db, &act.instruction(), &address).await?;
    let mut said = format!("The address is allowed again; queued {} held emails", lifted.released);
    if !lifted.offers_to_resend.is_empty() {
        said = format!("{said}. Not queued, resend from the offer: ");
        said.push_str(&lifted.offers_to_resend.join(", "));
    }
    Ok(done(&act.visitor, ADDRESSES, &said))
}

fn account_of(fields: &FormFields) -> Result<AccountId, Problem> {
    let account = fields.text("account");
    account.parse().map_err(|_| Problem::Invalid(format!("{account:?} is no account: acct_…")))
}
