//! What listens: the API, the merchant's Capital section, webhooks of mail senders, and the
//! operator's endpoints and console. Stripe's webhook is a stage of [`crate::flow`].
//! `letter_view` shows an email, for the console and the demo's mailbox.

pub mod api;
pub mod console;
mod cookie;
pub mod feedback;
pub mod letter_view;
pub mod ops;
pub mod portal;
pub mod private_page;
