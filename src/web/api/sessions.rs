//! `POST /api/v1/accounts/{account}/sessions`: an Account Session for Capital's embedded
//! components.
//!
//! The session's secret admits its holder to the account's financing for some minutes. So every
//! call creates a new one, and it appears only in the response: the platform's backend passes it to
//! the page of a merchant whom it has authenticated.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Extension, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::Caller;
use super::request::{AccountParams, AccountPath};
use super::{Platform, Refusal};
use crate::stripe::{self, AccountSession, Component};

/// A new session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSession {
    /// The components that the page shows. A repeated one counts once.
    #[schema(min_items = 1, inline, value_type = Vec<ComponentName>)]
    components: BTreeSet<ComponentName>,
}

/// `capital_financing`: progress, transactions, payments. `capital_financing_application`: the
/// application. `capital_financing_promotion`: the offer as a banner or tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "Stripe's names")]
enum ComponentName {
    CapitalFinancing,
    CapitalFinancingApplication,
    CapitalFinancingPromotion,
}

impl From<ComponentName> for Component {
    fn from(name: ComponentName) -> Self {
        match name {
            ComponentName::CapitalFinancing => Self::CapitalFinancing,
            ComponentName::CapitalFinancingApplication => Self::CapitalFinancingApplication,
            ComponentName::CapitalFinancingPromotion => Self::CapitalFinancingPromotion,
        }
    }
}

/// A fresh session. Its secret is for the merchant's browser alone: do not store it.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// For `fetchClientSecret` of Connect.js.
    #[schema(example = "accs_secret__Q2w3E4r5")]
    client_secret: String,
    /// When it expires.
    expires_at: Option<DateTime<Utc>>,
}

/// Create an Account Session
///
/// For a page of yours that shows Capital's embedded components. Every call creates a new session:
/// call this from `fetchClientSecret`, for a merchant whom you have authenticated.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{account}/sessions",
    operation_id = "makeSession",
    params(AccountParams),
    request_body = NewSession,
    responses((status = 200, body = Session, description = "The session")),
)]
pub(super) async fn create(
    State(platform): State<Platform>,
    Extension(caller): Extension<Caller>,
    AccountPath(account): AccountPath,
    request: Request,
) -> Result<Json<Session>, Refusal> {
    let NewSession { components } = platform.api.read_json(request).await?;
    if components.is_empty() {
        return Err(Refusal::MalformedBody("`components` is empty".into()));
    }
    // Per account, shared with the links: each session is a call to Stripe.
    platform.links.count(account.as_str()).map_err(Refusal::RateLimited)?;
    let wanted: Vec<Component> = components.iter().copied().map(Component::from).collect();
    match platform.financings.stripe.account_session(&account, &wanted).await {
        Ok(AccountSession { client_secret, expires_at }) => {
            tracing::info!(
                account.id = %account,
                key.id = caller.key_id,
                session.components = ?wanted,
                "created an Account Session"
            );
            Ok(Json(Session { client_secret, expires_at }))
        }
        Err(error) => {
            tracing::warn!(account.id = %account, %error, "cannot create an Account Session");
            Err(refusal(&error))
        }
    }
}

/// Our parameters are valid, so a 400 that does not concern the account concerns the components:
/// the API version does not know them, or they do not exist in the account's country.
fn refusal(error: &stripe::Error) -> Refusal {
    match error {
        stripe::Error::Refused { status: 400, .. } if !error.is_missing() => {
            Refusal::SessionRefused
        }
        stripe::Error::Refused { .. }
        | stripe::Error::NotYet(_)
        | stripe::Error::NoAnswer(_)
        | stripe::Error::NotStripe { .. }
        | stripe::Error::Unreadable { .. } => Refusal::from_stripe(error),
    }
}
