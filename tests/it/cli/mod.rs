//! The commands, as processes.

mod demo;
mod operator;
mod start;
mod terminal;
