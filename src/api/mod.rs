//! What programs call, and how they prove who they are.
//!
//! ```text
//! request ─▶ key: is it one of ours, may it do this? ─▶ what the address is for
//!              401, 403
//! ```
//!
//! A program has a key ([`keys`]) with the few scopes that it needs. [`admit`] stands before every address that wants one, so that
//! nothing of a request is read before its key is known. Refusals have one shape ([`Refusal`]). Under `/api/v1` is what the platform's
//! own programs use; what mail servers and senders report comes in at [`crate::inbound`], behind the same keys.

mod account;
mod guard;
pub mod keys;
mod opt_outs;
mod refusal;

use std::future::ready;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, put};
use sqlx::PgPool;

use crate::clock::Clock;
use crate::database::Troubles;

pub use guard::{Guard, admit};
pub use keys::Scope;
pub use refusal::Refusal;

/// What answering programs needs.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where keys and opt-outs are kept.
    pub db: PgPool,
    /// When something was done.
    pub clock: Clock,
    /// Told of a database that would not do it.
    pub troubles: Troubles,
    /// How long a body may take to arrive.
    pub read_timeout: Duration,
}

/// The addresses under `/api/v1`, each behind the scope that it needs.
pub fn router(api: Api) -> Router {
    let needs = |scope| from_fn_with_state(Guard::new(api.clone(), scope), admit);
    let read = get(opt_outs::show).route_layer(needs(Scope::OptOutsRead));
    let write = put(opt_outs::begin).delete(opt_outs::end).route_layer(needs(Scope::OptOutsWrite));
    Router::new()
        .route("/api/v1/opt-outs", get(opt_outs::list).route_layer(needs(Scope::OptOutsRead)))
        .route("/api/v1/accounts/{account}/opt-out", read.merge(write))
        .method_not_allowed_fallback(|| ready(Refusal::MethodNotAllowed))
        .with_state(api)
}
