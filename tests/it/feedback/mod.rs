//! Bounces and complaints, by message and by webhook.

pub mod reports;
mod ses;
mod webhooks;
