//! Formatting and sanitizing: amounts, languages, dates, CSV and external text.

pub mod csv;
pub mod locale;
pub mod money;
pub mod text;
