//! The service as its users meet it: a real Postgres, Stripe's simulator, a real or a failing mail
//! server, and where it matters real processes.

#![allow(clippy::print_stdout, reason = "a measurement of a test is for the person who runs it")]
#![allow(clippy::unwrap_used, reason = "what cannot be had here fails the test")]
#![allow(clippy::disallowed_methods, reason = "a test asks its surroundings and has no shutdown")]
#![allow(unreachable_pub, reason = "one binary: nobody else can reach anything")]

mod cli;
mod consent;
mod faults;
mod feedback;
mod financing;
mod flow;
mod letters;
mod mail;
mod maintenance;
mod operators;
mod queue;
mod support;
mod traces;
mod web;
