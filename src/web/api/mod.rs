//! What programs call, and how they prove who they are.
//!
//! ```text
//! request ─▶ key: is it one of ours, may it do this? ─▶ does it ask too often? ─▶ what the address is for
//!              401, 403                                   429
//! ```
//!
//! A program has a key ([`keys`]) with the few scopes that it needs. [`authenticate`] stands before every address that wants one, so that
//! nothing of a request is read before its key is known. Refusals have one shape ([`Refusal`]). Under `/api/v1` is what the platform's
//! own programs use; what mail servers and senders report comes in at [`super::feedback`], behind the same keys.
//!
//! | file | owns |
//! |---|---|
//! | `routes` | every address under `/api/v1`, with its scope and what it can be refused for |
//! | `openapi` | their description, made from the same table |
//! | `guard`, `keys` | who may ask, and how often |
//! | `ask`, `account` | what a request says: account, query, page, body |
//! | `refusal` | what a program hears instead |
//! | `offers`, `summary`, `transactions`, `report` | what there is to know of a financing |
//! | `links` | a merchant's way into what Stripe shows |
//! | `contact`, `opt_outs` | to which address letters go, and to whom none do |

mod account;
mod auth;
mod contact;
pub mod keys;
mod links;
mod offers;
mod openapi;
mod opt_outs;
mod query;
mod refusal;
mod report;
mod routes;
mod summary;
mod transactions;

use std::time::Duration;

use url::Url;

use crate::clock::Clock;
use crate::database::{DatabaseHealth, Pool};
use crate::financing::{Financings, Unanswered};
use crate::http::rate::Rate;

pub use auth::{Guard, authenticate};
pub use keys::Scope;
pub use links::is_fit_to_come_back_to;
pub use refusal::{Refusal, StripeUnavailable};
pub use routes::router;

/// What answering programs needs.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where keys and opt-outs are kept.
    pub db: Pool,
    /// When something was done.
    pub clock: Clock,
    /// Told of a database that would not do it.
    pub database_health: DatabaseHealth,
    /// How long a body may take to arrive.
    pub read_timeout: Duration,
}

/// What answering the platform's own programs needs.
#[derive(Clone, Debug)]
pub struct Platform {
    /// What all programs need.
    pub api: Api,
    /// Answers what is asked about financings.
    pub financings: Financings,
    /// What an operator decides.
    pub settings: Settings,
    /// How often each key may ask.
    pub rate: Rate,
    /// How often a link is made for each account, whoever asks for it.
    pub links: Rate,
}

/// What an operator decides about `/api/v1`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where an Account Link sends a merchant who comes too late, unless the caller says otherwise.
    pub refresh_url: Url,
    /// And one who is done.
    pub return_url: Url,
    /// How often a key may ask, on the average; 0: no limit.
    pub requests_per_second: u32,
}

impl Api {
    /// What the database answered; or the refusal, when it did not.
    fn done<T>(&self, outcome: sqlx::Result<T>, doing: &str) -> Result<T, Refusal> {
        outcome.map_err(|error| {
            self.database_health.report(&error, doing);
            Refusal::Unavailable
        })
    }

    /// The same where Stripe is asked too.
    fn answered<T>(&self, outcome: Result<T, Unanswered>, doing: &str) -> Result<T, Refusal> {
        outcome.or_else(|error| match error {
            Unanswered::Database(error) => self.done(Err(error), doing),
            Unanswered::Stripe(error) => {
                tracing::warn!(%error, "{doing}: Stripe does not say");
                Err(Refusal::by_stripe(&error))
            }
        })
    }
}
