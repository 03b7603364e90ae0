//! Commands, run as processes.

mod demo;
mod operator;
mod start;
mod terminal;
