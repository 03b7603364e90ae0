//! `/api/v1/accounts/{account}/contact`: an address that replaces Stripe's for an account's emails.

use axum::Json;
use axum::extract::{Extension, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::Caller;
use super::request::{AccountParams, AccountPath};
use super::{Api, Platform, Refusal};
use crate::consent::contact_overrides::{self, ContactOverride, NewContactOverride};
use crate::mail::Address;
use crate::stripe::AccountId;

/// The contact override of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct Contact {
    #[schema(value_type = String, example = "acct_1Q2w3E4r5T6y7U8i")]
    account: AccountId,
    /// The address that the platform set; null if emails go to the address that Stripe knows.
    #[schema(format = Email, example = "owner@bakery.example")]
    email: Option<String>,
    /// When the address was last set.
    updated_at: Option<DateTime<Utc>>,
}

/// A new contact override.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewContact {
    /// One address, in ASCII, without a display name.
    #[schema(format = Email, max_length = 254, example = "owner@bakery.example")]
    email: String,
}

/// Show an account's contact override
///
/// The address that the platform set, if any. The address that Stripe knows is not shown.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/contact",
    operation_id = "showContact",
    params(AccountParams),
    responses((status = 200, body = Contact, description = "The current override")),
)]
pub(super) async fn show(
    State(Platform { api, .. }): State<Platform>,
    AccountPath(account): AccountPath,
) -> Result<Json<Contact>, Refusal> {
    api.contact(account).await
}

/// Set the address for an account's emails
///
/// It takes precedence over all others, from the next email on. Emails that are held or gave up for
/// want of a deliverable address are tried again. An email that may have been sent keeps its
/// address.
#[utoipa::path(
    put,
    path = "/api/v1/accounts/{account}/contact",
    operation_id = "nameContact",
    params(AccountParams),
    request_body = NewContact,
    responses((status = 200, body = Contact, description = "The new override")),
)]
pub(super) async fn put(
    State(Platform { api, .. }): State<Platform>,
    Extension(caller): Extension<Caller>,
    AccountPath(account): AccountPath,
    request: Request,
) -> Result<Json<Contact>, Refusal> {
    let NewContact { email } = api.read_json(request).await?;
    let address: Address = email.parse().map_err(|_| Refusal::BadAddress)?;
    let set = api.set_contact(&account, &address, &caller.key_id);
    let released = api.query("cannot store a contact override", set).await?;
    tracing::info!(
        account.id = %account,
        key.id = caller.key_id,
        letter.recipient = %address,
        released,
        "contact override set by the API"
    );
    api.contact(account).await
}

/// Remove an account's contact override
///
/// Emails go to the address that Stripe knows again.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{account}/contact",
    operation_id = "forgetContact",
    params(AccountParams),
    responses((status = 200, body = Contact, description = "The override, now empty")),
)]
pub(super) async fn delete(
    State(Platform { api, .. }): State<Platform>,
    Extension(caller): Extension<Caller>,
    AccountPath(account): AccountPath,
) -> Result<Json<Contact>, Refusal> {
    let delete = contact_overrides::delete(&api.db, account.as_str());
    if api.query("cannot remove a contact override", delete).await? {
        tracing::info!(
            account.id = %account,
            key.id = caller.key_id,
            "contact override removed by the API"
        );
    }
    api.contact(account).await
}

impl Api {
    async fn set_contact(
        &self,
        account: &AccountId,
        address: &Address,
        updated_by: &str,
    ) -> sqlx::Result<usize> {
        let request = NewContactOverride { account_id: account.as_str(), address, updated_by };
        // One transaction: the override and the release of the letters that waited for it.
        let mut tx = self.db.begin().await?;
        let released = contact_overrides::set(&mut tx, &request, self.clock.now()).await?;
        tx.commit().await?;
        Ok(released)
    }

    async fn contact(&self, account: AccountId) -> Result<Json<Contact>, Refusal> {
        let find = contact_overrides::find(&self.db, account.as_str());
        let found = self.query("cannot look up a contact override", find).await?;
        let (email, updated_at) =
            found.map(|ContactOverride { address, updated_at, .. }| (address, updated_at)).unzip();
        Ok(Json(Contact { account, email, updated_at }))
    }
}
