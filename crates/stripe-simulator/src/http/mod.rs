//! Requests, responses and lists in Stripe's shapes, Idempotency-Keys, and faults on request.
//! Nothing here knows what a route does.

pub(crate) mod fault;
pub(crate) mod idempotency;
pub(crate) mod list;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod version;
