//! Pages of events and of malformed bodies for the console.

pub mod store;
