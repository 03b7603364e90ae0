//! Mail: addresses, messages, signatures and the way to the relay. Knows nothing of offers or letters.
//!
//! | file | owns |
//! |---|---|
//! | `address` | addresses that are safe to put into a header, and print masked |
//! | `mime`, `dkim` | the message as it goes over the wire, and its signature |
//! | `return_path` | the envelope sender, one per letter, that bounces come back to |
//! | `relay_url`, `relay` | where the relay is, and the hand-over with its outcome |
//! | `smtp` | the SMTP client: commands, replies, TLS |
//! | `send_error` | what a refusal of the relay means |
//! | `mask` | relay replies without recipient addresses |
//! | `sending_rate` | letters per second, minute and day, shared by all replicas |
//! | `per_domain` | concurrent sessions per receiving domain |

mod address;
mod dkim;
pub mod mask;
pub mod mime;
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
pub use per_domain::DomainLimiter;
pub use relay::Relay;
pub use relay_url::{RelayUrl, RelayUrlError};
pub use return_path::{ReturnPath, letters_in};
pub use send_error::SendError;

/// Who sends, and with which signature.
#[derive(Clone, Debug)]
pub struct Sender {
    pub from: Mailbox,
    /// Receives replies, including those that say "unsubscribe".
    pub reply_to: Mailbox,
    /// Envelope sender of each letter, unique per letter; none: the address of `from`.
    pub return_path: Option<ReturnPath>,
    /// Gets a blind copy of each letter. Stripe demands one
    /// (<https://docs.stripe.com/capital/api-integration>).
    pub bcc: Option<Address>,
    /// None: the relay signs.
    pub dkim: Option<Dkim>,
}

/// How long to wait for the relay.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From connecting to the relay's 354 to `DATA`.
    pub command: Duration,
    /// From the first byte of the message to the reply to its end. Too short a limit makes
    /// duplicates: RFC 5321 section 4.5.3.2.6 wants ten minutes.
    pub answer: Duration,
}
