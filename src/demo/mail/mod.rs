//! The demo's mail: a server that keeps what it accepts as files, and the mailbox that shows them.
//!
//! Nothing leaves the machine: the server listens on the loopback interface and has no client.
//!
//! | file | owns |
//! |---|---|
//! | `sink` | the listener, its faults, who is notified of a message |
//! | `session` | one SMTP session |
//! | `folder` | the files: written before the sender gets its 250, listed and searched |
//! | `bounce` | the report about a message that could not be delivered after all |
//! | `mailbox` | the pages at `/mailbox` |

mod bounce;
mod folder;
mod mailbox;
mod session;
mod sink;

#[cfg(test)]
mod tests;

pub use folder::MailSummary;
pub use mailbox::router;
pub use sink::Sink;
