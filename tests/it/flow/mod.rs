//! The five stages, from a signed webhook to the mark at Stripe.

mod event_order;
mod live_mode;
mod mark_delivered;
mod nul;
mod stages;
mod webhook;
