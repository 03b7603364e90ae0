//! One merchant: address, opt-outs, offers with their emails, financing, what operators did.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{ConsolePage, money};
use crate::database::with_timeout;
use crate::mail::Address;
use crate::maintenance::retention;
use crate::operators::account_case::{self, AccountCase};
use crate::operators::acts;
use crate::stripe::AccountId;
use crate::web::console::ConsoleState;
use crate::web::console::access::{Act, PageId, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, done};
use crate::web::portal::{self, SessionSummary};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/accounts/{id}",
    label: None,
    templates: &[console_template!("account.html")],
};

#[derive(Serialize)]
struct AccountView {
    is_opted_out: bool,
    amounts: Vec<Amounts>,
    offered: Vec<String>,
    sessions: Vec<SessionSummary>,
    #[serde(flatten)]
    case: AccountCase,
}

/// A financing, as text.
#[derive(Serialize)]
struct Amounts {
    offer_id: Option<String>,
    advanced: String,
    paid: String,
    /// What a refill took off its fee.
    discounted: Option<String>,
    remaining: String,
    last_at: DateTime<Utc>,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route("/console/accounts/{id}/contact", post(set_contact))
        .route("/console/accounts/{id}/contact/clear", post(clear_contact))
        .route("/console/accounts/{id}/opt-out", post(opt_out))
        .route("/console/accounts/{id}/erase", post(erase))
}

async fn show(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    PageId(id): PageId,
) -> Result<Response, Problem> {
    let db = &state.console.db;
    let sessions = with_timeout(portal::sessions_of_account(db, &id)).await?;
    if sessions.is_empty() && !with_timeout(retention::is_known(db, &id)).await? {
        return Err(Problem::NotFound(format!("The account {id}")));
    }
    let case = with_timeout(account_case::read(db, &id)).await?;
    let amounts = case.financings.iter().map(|totals| {
        let amount = |minor: i64| money(Some(minor), Some(&totals.currency));
        Amounts {
            offer_id: totals.offer_id.clone(),
            advanced: amount(totals.advanced_minor),
            paid: amount(totals.paid_minor),
            discounted: Some(totals.discounted_minor).filter(|minor| *minor != 0).map(amount),
            remaining: amount(totals.remaining_minor),
            last_at: totals.last_at,
        }
    });
    let offered =
        case.offers.iter().map(|of| money(of.offer.advance_minor, of.offer.currency.as_deref()));
    let view = AccountView {
        is_opted_out: case.opt_outs.iter().any(|opt_out| opt_out.ended_at.is_none()),
        amounts: amounts.collect(),
        offered: offered.collect(),
        sessions,
        case,
    };
    let command = &format!("capital-courier account show {id}");
    let head = PageHead { template: "account.html", title: &id, command };
    state.page(&visitor, &head, view)
}

fn check_account(id: &str) -> Result<(), Problem> {
    let parsed = id.parse::<AccountId>();
    parsed.map(drop).map_err(|_| Problem::Invalid(format!("{id} is no account: acct_…")))
}

async fn set_contact(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    check_account(&id)?;
    let address: Address = act
        .fields
        .text("address")
        .parse()
        .map_err(|error| Problem::Invalid(format!("This is not an email address: {error}.")))?;
    let queued = acts::set_contact(&state.console.db, &act.instruction(), &id, &address).await?;
    let said = match queued {
        0 => "The address is set".to_owned(),
        queued => format!("The address is set; queued {queued} emails that lacked one"),
    };
    Ok(done(&act.visitor, &format!("/console/accounts/{id}"), &said))
}

async fn clear_contact(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    check_account(&id)?;
    acts::clear_contact(&state.console.db, &act.instruction(), &id).await?;
    let said = "The address is removed: emails go to the one at Stripe";
    Ok(done(&act.visitor, &format!("/console/accounts/{id}"), said))
}

async fn opt_out(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    check_account(&id)?;
    let by = act.instruction();
    let said = if act.fields.text("end") == "yes" {
        acts::end_opt_out(&state.console.db, &by, &id).await?;
        "The account is no longer opted out"
    } else {
        acts::opt_out(&state.console.db, &by, &id).await?;
        "The account is opted out: no email leaves"
    };
    Ok(done(&act.visitor, &format!("/console/accounts/{id}"), said))
}

/// Erases the account's personal data and keeps the evidence. The form asks for the id, because
/// nothing brings the data back.
async fn erase(
    State(state): State<ConsoleState>,
    PageId(id): PageId,
    act: Act,
) -> Result<Response, Problem> {
    check_account(&id)?;
    if !with_timeout(retention::is_known(&state.console.db, &id)).await? {
        return Err(Problem::NotFound(format!("The account {id}")));
    }
    if act.fields.text("account") != id {
        let why = format!("Nothing was erased: type {id} to confirm.");
        return Err(Problem::Invalid(why));
    }
    let mut tx = state.console.db.begin().await?;
    let mut erased = acts::erase_account(&mut tx, &act.instruction(), &id, false).await?;
    erased.sessions = portal::end_sessions(&mut *tx, &id).await?;
    tx.commit().await?;
    let mut said = format!(
        "Erased {} emails, {} events, {} addresses and {} sessions. The evidence is kept",
        erased.letters, erased.events, erased.contacts, erased.sessions
    );
    if erased.skipped > 0 {
        said = format!("{said}. {} emails are being sent: erase again later", erased.skipped);
    }
    Ok(done(&act.visitor, &format!("/console/accounts/{id}"), &said))
}
