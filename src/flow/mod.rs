//! The stages between a Stripe event and the report that its offer was delivered.
//!
//! ```text
//! webhook ──▶ inbox ──▶ offer ──▶ email ──▶ delivered
//! verify      store     apply     send      mark_delivered
//!               └────▶ financing (outside the flow: crate::financing)
//! ```
//!
//! Each arrow is a file `to_<next>.rs` in the folder it leaves. Arrows into a job take the caller's
//! transaction: they write the next stage's row and queue its job, and the caller commits both
//! together with its own outcome, so that no crash loses a hand-over or repeats one. The exception
//! is `webhook/to_inbox.rs`, a single insert that commits by itself. A stage names only the next
//! one, and only in its arrow; `tests/architecture.rs` checks this.

pub mod delivered;
pub mod email;
pub mod inbox;
pub mod offer;
pub mod webhook;
