//! Pages of letters for the console.

pub mod store;
