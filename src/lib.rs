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
//! | [`financing`] | every movement of a financing, and what they add up to |
//! | [`retention`] | when personal data go, and what stays |
//! | [`reconcile`] | asks Stripe what never reached us |
//! | [`timeline`] | what happened to an offer, and the one place where its status moves |
//! | [`queue`] | durable jobs: everything that talks to the network |
//! | [`stripe`] | ids, objects, calls, errors |
//! | [`database`] | opening Postgres, its schema, its health, its troubles |
//! | [`clock`], [`clock_sync`] | the one time that all replicas go by: the database's |
//! | [`replicas`] | who else works on this database |
//! | [`money`], [`locale`] | amounts, and how a reader writes them; languages and time zones |
//! | [`spreadsheet`] | CSV that opens without harm |
//! | [`text`] | what outsiders wrote, made fit to be shown |
//! | [`ops`] | health, figures |
//! | [`api`] | what the platform's programs call, and their keys |
//! | [`inbound`] | where mail servers and senders tell what became of letters |
//! | [`portal`] | what merchants see: the page by which they stop the letters |
//! | [`app`] | puts the parts together and runs them |
//! | [`cli`], [`config`] | commands, settings |
//! | `simulator` | a stand-in for Stripe's Capital API (feature `demo`) |
//!
//! Two ways of working, and only two. *Reading*: database only, in one transaction. *Acting*: a job, claimed by lease,
//! outside any transaction. `docs/architecture.md` explains both and shows what each crash leaves behind.

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod clock_sync;
pub mod config;
pub mod crash;
pub mod database;
pub mod financing;
pub mod flow;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod inbound;
pub mod locale;
pub mod money;
pub mod ops;
pub mod portal;
pub mod queue;
pub mod reconcile;
pub mod replicas;
pub mod retention;
pub mod shutdown;
#[cfg(feature = "demo")]
pub mod simulator;
pub mod spreadsheet;
pub mod stripe;
pub mod telemetry;
pub mod text;
pub mod timeline;

pub use database::MIGRATOR;
