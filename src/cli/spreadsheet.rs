//! Cells that a spreadsheet opens without harm: text in a CSV that begins like a formula would be taken for one.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};

/// What makes a spreadsheet take a cell for a formula (OWASP, *CSV Injection*).
pub(super) const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Text that no spreadsheet takes for a formula.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) { format!("'{text}").into() } else { text.into() }
}

/// The same text without what made it harmless.
pub(super) fn as_it_was(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(text)
}

/// A moment, by RFC 3339.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A moment that may not have come.
pub(super) fn maybe(at: Option<DateTime<Utc>>) -> String {
    at.map(moment).unwrap_or_default()
}
