//! The HTTP API for the platform's own programs: routing, API keys, errors, OpenAPI.
//!
//! ```text
//! request ─▶ API key: valid, has the scope? ─▶ rate limit ─▶ handler
//!              401, 403                          429
//! ```
//!
//! A caller presents an API key ([`keys`]) with the scopes that it needs. [`authenticate`] runs
//! before each handler, so nothing but the headers of a request is read before its key is verified.
//! Errors have one shape ([`Refusal`]). The routes below `/api/v1` are for the platform's programs;
//! the webhooks of mail servers and mail providers are in [`super::feedback`] and use the same
//! keys.
//!
//! | file | owns |
//! |---|---|
//! | `routes` | the table of routes below `/api/v1`: scope and possible errors of each |
//! | `openapi` | the OpenAPI document, generated from the same table |
//! | `auth`, `keys` | authentication, scopes, rate limit |
//! | `request` | parsing: account, query, pagination, body |
//! | `refusal` | error codes and messages |
//! | `offers`, `summary`, `transactions`, `report` | an account's financings |
//! | `links`, `sessions` | Account Links into Stripe's pages, Account Sessions for its components |
//! | `delivered` | deliveries by a channel of the platform |
//! | `copy` | what a banner must carry beside an offer |
//! | `contact`, `opt_outs` | contact overrides and opt-outs |

mod auth;
mod contact;
mod copy;
mod delivered;
pub mod keys;
mod links;
mod offers;
mod openapi;
mod opt_outs;
mod refusal;
mod report;
mod request;
mod routes;
mod sessions;
mod summary;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::clock::Clock;
use crate::database::{Pool, with_timeout};
use crate::financing::{Financings, LookupError};
use crate::flow::offer::OfferFinder;
use crate::http::rate::Rate;
use crate::stripe::AccountId;

pub use auth::{Guard, authenticate};
pub use copy::BannerSource;
pub use keys::Scope;
pub use links::is_valid_return_url;
pub use refusal::{Refusal, StripeUnavailable};
pub use routes::router;

/// The state that every authenticated endpoint needs, the mail webhooks included.
#[derive(Clone, Debug)]
pub struct Api {
    pub db: Pool,
    pub clock: Clock,
    /// Time limit for receiving a request body.
    pub read_timeout: Duration,
}

/// The state of the routes below `/api/v1`.
#[derive(Clone, Debug)]
pub struct Platform {
    pub api: Api,
    pub financings: Financings,
    /// Finds the offers of an account that is unknown here.
    pub finder: OfferFinder,
    pub settings: Settings,
    pub banners: Arc<BannerSource>,
    /// Rate limit per API key.
    pub rate: Rate,
    /// Rate limit per account for new Account Links, whichever key asks.
    pub links: Rate,
}

/// The settings of `/api/v1`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Stripe sends a merchant whose Account Link has expired; a request can override it.
    pub refresh_url: Url,
    /// Where Stripe sends a merchant who is done; a request can override it.
    pub return_url: Url,
    /// Average requests per second and key; 0 means no limit.
    pub requests_per_second: u32,
}

impl Platform {
    /// Asks Stripe for the offers of an account that is unknown here.
    async fn find_offers(&self, account: &AccountId) -> Result<(), Refusal> {
        let found = self.finder.find(account).await;
        let doing = "cannot find an account's offers";
        found.map(drop).map_err(|error| self.api.lookup_refusal(&error, doing))
    }
}

impl Api {
    /// Runs a query within the time limit of queries that a caller waits for.
    async fn query<T>(
        &self,
        doing: &str,
        query: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, Refusal> {
        with_timeout(query).await.map_err(|error| self.database_refusal(&error, doing))
    }

    fn database_refusal(&self, error: &sqlx::Error, doing: &str) -> Refusal {
        self.db.health().report(error, doing);
        Refusal::Unavailable
    }

    /// Maps an error of a query that may also ask Stripe.
    fn lookup_refusal(&self, error: &LookupError, doing: &str) -> Refusal {
        match error {
            LookupError::Database(error) => self.database_refusal(error, doing),
            LookupError::Stripe(error) => {
                tracing::warn!(%error, "{doing}: the call to Stripe failed");
                Refusal::from_stripe(error)
            }
        }
    }
}
