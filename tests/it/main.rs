//! The service as its users meet it: a real Postgres, Stripe's simulator, a real or a troublesome mail server, and where it
//! matters real processes.

#![allow(clippy::print_stdout, reason = "a measurement of a test is for the person who runs it")]
#![allow(clippy::unwrap_used, reason = "what cannot be had here fails the test")]
#![allow(clippy::disallowed_methods, reason = "a test asks its surroundings and has no shutdown")]
#![allow(unreachable_pub, reason = "one binary: nobody else can reach anything")]

mod api;
mod backfill;
mod clock;
mod connections;
mod contact;
mod copy;
#[cfg(feature = "crash-points")]
mod crash;
mod delivered;
mod demo;
mod dkim;
mod evidence;
mod financing;
mod flow;
mod hostile;
mod letters;
mod live;
mod lives;
mod load;
mod metrics;
mod nul;
mod openapi;
mod operator;
mod order;
mod outage;
mod pgbouncer;
mod phases;
mod platform;
mod processes;
mod proxy;
mod queue;
mod reconcile;
mod reminders;
mod replicas;
mod reports;
mod retention;
mod section;
mod senders;
mod sending;
mod ses;
mod smtp;
mod start;
mod support;
mod terminal;
mod tls;
mod unsubscribe;
mod visits;
mod webhook;
