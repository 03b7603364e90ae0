//! Outgoing mail: addresses, messages, DKIM signatures, SMTP and rate limits. This module knows
//! nothing about offers or letters: `flow::email` gives it messages.
//!
//! | file | owns |
//! |---|---|
//! | `address` | addresses that are safe in a header; they print masked |
//! | `mime`, `dkim` | the message as it is transmitted, and its signature |
//! | `parts` | reads the parts of a received message, with bounded depth |
//! | `return_path` | the envelope sender, one per letter, which identifies bounces |
//! | `relay_url`, `relay` | which relay to use; delivery to it, and the outcome |
//! | `smtp` | the SMTP client: commands, replies, TLS |
//! | `send_error` | what a refusal means for the letter |
//! | `metrics` | counts of connections and messages |
//! | `mask` | removes recipient addresses from relay replies |
//! | `sending_rate` | letters per second, minute and day, shared by all replicas |
//! | `per_domain` | concurrent sessions per receiving domain |

mod address;
mod dkim;
pub mod mask;
mod metrics;
pub mod mime;
pub mod parts;
pub mod per_domain;
pub mod relay;
mod relay_url;
mod return_path;
pub mod send_error;
pub mod sending_rate;
pub mod smtp;

use std::time::Duration;

pub use address::{Address, AddressError, Mailbox};
pub use dkim::{Algorithm, Dkim, DkimError};
pub use metrics::RelayMetrics;
pub use per_domain::DomainLimiter;
pub use relay::Relay;
pub use relay_url::{RelayUrl, RelayUrlError};
pub use return_path::{ReturnPath, letters_in};
pub use send_error::SendError;

/// The sender of all letters.
#[derive(Clone, Debug)]
pub struct Sender {
    pub from: Mailbox,
    /// Receives replies, including those that say "unsubscribe".
    pub reply_to: Mailbox,
    /// A distinct envelope sender per letter; `None` uses the address of `from`.
    pub return_path: Option<ReturnPath>,
    /// Receives a blind copy of each letter, which Stripe requires
    /// (<https://docs.stripe.com/capital/api-integration>).
    pub bcc: Option<Address>,
    /// `None` leaves signing to the relay.
    pub dkim: Option<Dkim>,
}

/// Where letters are handed over.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    pub url: RelayUrl,
    pub timeouts: Timeouts,
}

/// Time limits of an SMTP session.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From connecting to the 354 reply to `DATA`.
    pub command: Duration,
    /// Applies to the message content and to the reply to the final dot. A limit that is too short
    /// causes duplicates: RFC 5321 section 4.5.3.2.6 asks for ten minutes.
    pub answer: Duration,
}
