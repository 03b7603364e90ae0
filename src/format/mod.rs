//! How values are written: amounts, languages and dates, CSV, and text from outside.

pub mod csv;
pub mod locale;
pub mod money;
pub mod text;
