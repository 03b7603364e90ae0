//! `/api/v1/accounts/{account}/contact`: the address that an account's letters go to, where the platform knows better than Stripe.

use axum::Json;
use axum::extract::{Extension, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::{Account, OfAccount};
use super::keys::Caller;
use super::query;
use super::{Api, Platform, Refusal};
use crate::consent::contact_overrides::{self, ContactOverride, NewContactOverride};
use crate::database::with_timeout;
use crate::mail::Address;
use crate::stripe::AccountId;

/// Where an account's letters go.
#[derive(Serialize, ToSchema)]
pub(super) struct Contact {
    #[schema(value_type = String, example = "acct_1Q2w3E4r5T6y7U8i")]
    account: AccountId,
    /// The address that the platform named; null where it named none, and letters go where Stripe says.
    #[schema(format = Email, example = "owner@bakery.example")]
    email: Option<String>,
    /// When it was named last.
    updated_at: Option<DateTime<Utc>>,
}

/// Where they are to go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewContact {
    /// One address, in ASCII, without a name.
    #[schema(format = Email, max_length = 254, example = "owner@bakery.example")]
    email: String,
}

/// Show where an account's letters go
///
/// As far as the platform named an address; what Stripe knows is not shown.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/contact",
    operation_id = "showContact",
    params(OfAccount),
    responses((status = 200, body = Contact, description = "What was named")),
)]
pub(super) async fn show(
    State(Platform { api, .. }): State<Platform>,
    Account(account): Account,
) -> Result<Json<Contact>, Refusal> {
    api.contact(account).await
}

/// Name the address for an account's letters
///
/// Before all others, from the next letter on. Letters that are held for want of an address that works, or gave up, are tried again.
/// What may have been sent goes where it went before.
#[utoipa::path(
    put,
    path = "/api/v1/accounts/{account}/contact",
    operation_id = "nameContact",
    params(OfAccount),
    request_body = NewContact,
    responses((status = 200, body = Contact, description = "What is named now")),
)]
pub(super) async fn put(
    State(Platform { api, .. }): State<Platform>,
    Extension(caller): Extension<Caller>,
    Account(account): Account,
    request: Request,
) -> Result<Json<Contact>, Refusal> {
    let NewContact { email } = query::read_json(&api, request).await?;
    let address: Address = email.parse().map_err(|_| Refusal::BadAddress)?;
    let released = with_timeout(api.name_contact(&account, &address, &caller.key_id)).await;
    let released = api.done(released, "cannot keep an address")?;
    tracing::info!(account.id = %account, key.id = caller.key_id, letter.recipient = %address, released, "address named by the API");
    api.contact(account).await
}

/// Let an account's letters go where Stripe says
///
/// The address that was named is forgotten.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{account}/contact",
    operation_id = "forgetContact",
    params(OfAccount),
    responses((status = 200, body = Contact, description = "What is named now: nothing")),
)]
pub(super) async fn forget(
    State(Platform { api, .. }): State<Platform>,
    Extension(caller): Extension<Caller>,
    Account(account): Account,
) -> Result<Json<Contact>, Refusal> {
    let removed = with_timeout(contact_overrides::delete(&api.db, account.as_str())).await;
    if api.done(removed, "cannot forget an address")? {
        tracing::info!(account.id = %account, key.id = caller.key_id, "address forgotten by the API");
    }
    api.contact(account).await
}

impl Api {
    async fn name_contact(
        &self,
        account: &AccountId,
        address: &Address,
        updated_by: &str,
    ) -> sqlx::Result<usize> {
        let request = NewContactOverride { account_id: account.as_str(), address, updated_by };
        let mut tx = self.db.begin().await?;
        let released = contact_overrides::set(&mut tx, &request, self.clock.now()).await?;
        tx.commit().await?;
        Ok(released)
    }

    async fn contact(&self, account: AccountId) -> Result<Json<Contact>, Refusal> {
        let contact = with_timeout(contact_overrides::find(&self.db, account.as_str())).await;
        let (email, updated_at) = match self.done(contact, "cannot look up an address")? {
            Some(ContactOverride { address, updated_at }) => (Some(address), Some(updated_at)),
            None => (None, None),
        };
        Ok(Json(Contact { account, email, updated_at }))
    }
}
