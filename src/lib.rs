//! `capital-courier` delivers Stripe Capital financing offers to the merchants of a Connect platform, and proves it.
//!
//! ```text
//!            flow
//! Stripe ──▶ webhook ──▶ inbox ──▶ offer ──▶ email ──▶ delivered ──▶ Stripe
//!            verify      keep      read      send      mark_delivered
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`flow`] | the five stages, in order |
//! | [`offers`] | the offer row, its status and its timeline |
//! | [`letters`] | the letter row and its transitions; wording, lint, reminders, evidence |
//! | [`mail`] | addresses, MIME, DKIM, SMTP, sending rate |
//! | [`consent`] | opt-outs, suppression list, contact overrides |
//! | [`feedback`] | bounces and complaints |
//! | [`financing`] | ledger, summary, payouts, reports |
//! | [`maintenance`] | reconciliation, retention, clock, replicas |
//! | [`queue`] | durable jobs: everything that talks to the network |
//! | [`stripe`] | ids, objects, calls, errors |
//! | [`web`] | what listens: API, Capital section, mail senders' webhooks, health and metrics |
//! | [`http`] | the HTTP server below them: connections, deadlines, bodies |
//! | [`database`] | the pool, the schema, health |
//! | [`clock`] | the one time that all replicas share: the database's |
//! | [`format`] | amounts, languages and dates, CSV, text from outside |
//! | [`app`] | assembles the parts and runs them |
//! | [`cli`], [`config`] | commands, settings |
//!
//! Two ways of working, and only two. *Reading*: database only, in one transaction. *Acting*: a job, claimed by lease,
//! outside any transaction. `docs/architecture.md` explains both and shows what each crash leaves behind.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consent;
pub mod crash;
pub mod database;
pub mod feedback;
pub mod financing;
pub mod flow;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod letters;
pub mod mail;
pub mod maintenance;
pub mod offers;
pub mod queue;
pub mod shutdown;
pub mod stripe;
pub mod telemetry;
pub mod web;

pub use database::MIGRATOR;
