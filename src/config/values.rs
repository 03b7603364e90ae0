//! How one setting is read: with its kind, and with a fault that names the place to mend where it is of another.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use toml::Value;
use url::Url;

use super::Fault;
use super::layers::{Entry, Origin, SECRETS, variable};
use super::reader::Reader;

impl<'a> Reader<'a> {
    /// A list in the file, or text with commas.
    pub(super) fn list(&mut self, key: &str, form: &str) -> Option<Vec<String>> {
        let trimmed = |text: &str| text.trim().to_owned();
        match &self.layers.get(key).value {
            Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
            Value::String(text) => Some(text.split(',').map(trimmed).collect()),
            Value::Array(all) => {
                Some(all.iter().map(|one| trimmed(one.as_str().unwrap_or_default())).collect())
            }
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Table(_) => {
                self.fault(key, &format!("write {form}, or several separated by commas"));
                None
            }
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let Some(text) = self.entry(key).value.as_str() else {
            self.fault(key, "write it as text, in quotes");
            return None;
        };
        Some(text.trim().to_owned())
    }

    pub(super) fn required(&mut self, key: &str, what: &str) -> Option<String> {
        let text = self.text(key)?;
        if text.is_empty() {
            self.fault(key, &format!("missing: set {what}"));
            return None;
        }
        Some(text)
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str, form: &str) -> Option<T> {
        match self.text(key)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(key, &format!("{error}; write {form}"));
                None
            }
        }
    }

    /// None where it is empty, and where it is wrong, which is told as a fault.
    pub(super) fn optional<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
        form: &str,
    ) -> Option<T> {
        if self.text(key)?.is_empty() { None } else { self.parsed(key, form) }
    }

    pub(super) fn url(&mut self, key: &str) -> Option<Url> {
        let url: Url = self.parsed(key, "an address like https://example.com/capital")?;
        if url.host_str().is_none() || !matches!(url.scheme(), "http" | "https") {
            self.fault(key, "write an address like https://example.com/capital");
            return None;
        }
        Some(url)
    }

    pub(super) fn duration(&mut self, key: &str) -> Option<Duration> {
        let form = "a duration like 500ms, 3s, 5m or 24h";
        let duration: humantime::Duration = self.parsed(key, form)?;
        if duration.is_zero() {
            self.fault(key, &format!("more than nothing: {form}"));
            return None;
        }
        Some(*duration)
    }

    /// None inside where nothing is written.
    #[expect(
        clippy::option_option,
        reason = "a fault, no duration, a duration: as everywhere here a fault is the outer none"
    )]
    pub(super) fn maybe_duration(&mut self, key: &str) -> Option<Option<Duration>> {
        if self.text(key)?.is_empty() { Some(None) } else { self.duration(key).map(Some) }
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let flag = self.entry(key).value.as_bool();
        if flag.is_none() {
            self.fault(key, "write true or false");
        }
        flag
    }

    pub(super) fn number<T: TryFrom<i64>>(&mut self, key: &str, least: i64) -> Option<T> {
        let number = self.entry(key).value.as_integer().filter(|number| *number >= least);
        let number = number.and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.fault(key, &format!("write a whole number, {least} or more"));
        }
        number
    }

    pub(super) fn entry(&self, key: &str) -> &'a Entry {
        self.layers.get(key)
    }

    /// Names the place to mend, and the value unless it is a secret.
    pub(super) fn fault(&mut self, key: &str, problem: &str) {
        let entry = self.entry(key);
        let place = match &entry.origin {
            Origin::Default => format!("{key} ({})", variable(key)),
            origin @ (Origin::File(_) | Origin::Variable(_)) => format!("{key} (from {origin})"),
        };
        let empty = entry.value.as_str().is_some_and(str::is_empty);
        let shown = if empty || SECRETS.contains(&key) {
            String::new()
        } else {
            format!(
                "{}: ",
                entry
                    .value
                    .as_str()
                    .map_or_else(|| entry.value.to_string(), |text| format!("{text:?}"))
            )
        };
        self.faults.push(Fault::new(&place, format!("{shown}{problem}")));
    }
}
