//! A stateful stand-in for the parts of Stripe that Capital needs, over HTTP.
//!
//! It accepts what Stripe accepts and refuses the rest in Stripe's error shape. It is never kinder
//! than Stripe: what Stripe does not promise, it does not do. Where Stripe's documentation is
//! silent, the code says so. The JSON is built by hand and shares no type with any client, so that
//! a client's mistake is not mirrored here.
//!
//! Imports go down only:
//!
//! | module | owns |
//! |---|---|
//! | `simulator` | the handle, and the listener |
//! | `server` | one request: faults, authentication, Idempotency-Key, route |
//! | `pages`, `control`, `api` | what browsers, `curl` and Stripe's clients ask for |
//! | `http` | requests, responses, lists, Idempotency-Keys, faults |
//! | `lifecycle` | the life of an offer |
//! | `financing` | the money of financings |
//! | `engine` | the state behind its lock, and the deliveries of events |
//! | `state` | Stripe's objects |
//! | `snapshot` | the state on disk |
//! | `webhook`, `time`, `feed`, `money`, `error` | deliveries, the clock, what happened, amounts, refusals |

mod api;
mod control;
mod engine;
mod error;
mod feed;
mod financing;
mod http;
mod lifecycle;
mod money;
mod pages;
mod server;
mod simulator;
mod snapshot;
mod state;
mod time;
mod webhook;

pub use control::bulk::{MadeOffers, NewOffers, STATUSES};
pub use error::ActionError;
pub use feed::{Feed, FeedEntry, Tone};
pub use financing::charge::{ChargeKind, ChargeOutcome, NewCharge};
pub use financing::reversal::ReversalReason;
pub use http::fault::{Fault, FaultKind};
pub use http::request::RecordedRequest;
pub use lifecycle::Action;
pub use pages::{PlatformDashboard, Trouble};
pub use simulator::{Options, Simulator};
pub use state::account::NewAccount;
pub use state::balance::Fund;
pub use state::event::EVENT_TYPES;
pub use state::journal::Movement;
pub use state::ledger::{ActiveFinancing, PaymentSource};
pub use state::offer::{NewOffer, RepaymentInterval};
pub use state::product::{Minimum, PRODUCTS, Product, Refills};
pub use time::TimeSource;
pub use webhook::{WebhookEndpoint, sign};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
