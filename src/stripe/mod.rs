//! Client for Stripe's API: ids, objects, errors and calls.
//!
//! Independent of the flow. Objects are decoded leniently, because an unknown value must never lose
//! an event: absent and null are equal, unknown fields are ignored, enums have `Other`.

mod account;
mod account_link;
mod account_session;
mod cache;
mod charge;
mod client;
mod connected_account;
mod deserialize;
mod error;
mod financing_offer;
mod financing_summary;
mod financing_transaction;
mod generation_failure;
mod ids;
mod list;
mod market;
mod metrics;
mod payout;
mod permissions;
mod rate_limit;
mod received;
mod webhook_endpoints;

pub use account::{Account, BusinessProfile, Person};
pub use account_link::{AccountLink, LinkTo};
pub use account_session::{AccountSession, Component};
pub use cache::Cache;
pub use charge::{Charge, Transfer};
pub(crate) use client::livemode_of_key;
pub use client::{ApiResponse, Client, EventList, OfferList, Settings};
pub use error::Error;
pub use financing_offer::{
    Contract, FinancingOffer, FinancingType, OfferStatus, OfferedTerms, ProductType,
};
pub use financing_summary::{FinancingSummary, Period, SummaryDetails, SummaryStatus};
pub use financing_transaction::{FinancingTransaction, Reason, TransactionType};
pub use generation_failure::GenerationFailure;
pub use ids::{AccountId, EventId, IdError, OfferId, TransactionId};
pub use list::{Page, id_of};
pub use market::{
    DISCLAIMER_VARIANTS, MARKETS, MarketTerms, ProductTerms, Refill, RepaymentInterval,
    market_of_disclaimer, servicing_address,
};
pub use metrics::StripeMetrics;
pub use payout::{BalanceTransaction, Fee, Payout};
pub use permissions::{PERMISSIONS, Permission, Permitted};
pub use received::{Readable, Received};
pub use webhook_endpoints::{CAPITAL_EVENTS, CreatedEndpoint, WebhookEndpoint};
