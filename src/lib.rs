//! `capital-courier` emails Stripe Capital financing offers to the merchants of a Connect platform
//! and keeps evidence of what was sent.
//!
//! ```text
//!            flow
//! Stripe ──▶ webhook ──▶ inbox ──▶ offer ──▶ email ──▶ delivered ──▶ Stripe
//!            verify      store     apply     send      mark_delivered
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`flow`] | the five stages, in order |
//! | [`offers`] | the offer row, its status and its timeline |
//! | [`letters`] | the letter row and its transitions; wording, lint, evidence |
//! | [`mail`] | addresses, MIME, DKIM, SMTP, sending rate |
//! | [`consent`] | opt-outs, suppression list, contact overrides |
//! | [`feedback`] | bounces and complaints |
//! | [`financing`] | ledger, summary, payouts, reports |
//! | [`maintenance`] | reconciliation, reminders, retention, clock, replicas |
//! | [`operators`] | what waits for an operator; acts and their log |
//! | [`queue`] | durable jobs: every call to SMTP or Stripe that must happen |
//! | [`stripe`] | ids, objects, calls, errors |
//! | [`checks`] | what must be right, each with a remedy: `doctor` |
//! | [`web`] | routes: API, Capital section, mail providers' webhooks, health and metrics |
//! | [`http`] | the HTTP server: connections, deadlines, bodies, rate limits |
//! | [`database`] | the pool, the schema, health |
//! | [`clock`] | the time that all replicas share: the database's |
//! | [`brand`] | the platform's name, logo and color |
//! | [`mod@format`] | amounts, languages, dates, CSV, sanitizing of external text |
//! | [`app`] | builds the parts and runs them |
//! | `demo` | trying it out: a mail server with a mailbox (feature `demo`) |
//! | [`cli`], [`config`] | commands, settings |
//! | `demo` | everything around the service, simulated, on one address |
//! | [`telemetry`], [`shutdown`] | logging and traces; stopping |
//! | [`crash`] | points at which a test makes the process die |
//!
//! Work that must survive a crash takes one of two forms. *Reading* uses only the database, in one
//! transaction. *Acting* calls the network from a leased job, outside of any transaction.
//! `docs/architecture.md` explains both and what a crash at each point leaves; `docs/glossary.md`
//! explains the terms.

pub mod app;
pub mod brand;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consent;
pub mod crash;
pub mod database;
#[cfg(feature = "demo")]
pub mod demo;
pub mod feedback;
pub mod financing;
pub mod flow;
pub mod format;
pub mod http;
pub mod letters;
pub mod mail;
pub mod maintenance;
pub mod offers;
pub mod operators;
pub mod queue;
pub mod shutdown;
pub mod stripe;
pub mod telemetry;
pub mod web;

pub use database::MIGRATOR;
