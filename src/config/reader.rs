//! Reads single settings and collects the errors.
//!
//! Every method returns a valid value, also after an error: the `example` that the error message
//! shows, or the minimum. So one pass assembles the structs and validates every setting, and
//! [`Reader::load`] returns the result only if there was no error.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use url::{Host, Url};

use super::layers::{Entry, Layers, Origin, SECRETS, best_known_variable};
use super::{Error, Errors};
use crate::web::console::SettingInForce;

const NOT_HTTP: &str = "not an http:// or https:// address";

pub(super) struct Reader {
    layers: Layers,
    errors: Vec<Error>,
    /// Keys with an error. Further errors of the same key are consequences of the first.
    invalid: BTreeSet<&'static str>,
}

impl Reader {
    pub(super) fn load<T>(
        file: Option<&Path>,
        env: &HashMap<String, String>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, Errors> {
        let mut errors = Vec::new();
        let layers = Layers::read(file, env, &mut errors);
        let mut reader = Self { layers, errors, invalid: BTreeSet::new() };
        let settings = read(&mut reader);
        if reader.errors.is_empty() { Ok(settings) } else { Err(Errors(reader.errors)) }
    }

    /// As [`Reader::load`], without the errors of settings that `read` does not read.
    pub(super) fn load_part<T>(
        file: Option<&Path>,
        env: &HashMap<String, String>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let layers = Layers::read(file, env, &mut Vec::new());
        let mut reader = Self { layers, errors: Vec::new(), invalid: BTreeSet::new() };
        let part = read(&mut reader);
        reader.errors.is_empty().then_some(part)
    }

    /// Trimmed; may be empty.
    pub(super) fn text(&mut self, key: &'static str) -> String {
        if let Some(text) = self.layers.get(key).value.as_str() {
            return text.trim().to_owned();
        }
        self.error(key, "must be text, in quotes");
        String::new()
    }

    pub(super) fn non_empty(&mut self, key: &'static str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> T {
        self.parsed_by(key, example, from_str)
    }

    pub(super) fn parsed_by<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.try_parse(key, example, &parse).unwrap_or_else(|| {
            let example = parse(example).ok();
            example.expect("each example is valid: a unit test reads every key with an error")
        })
    }

    /// `None` if it is empty or invalid.
    pub(super) fn optional<T: FromStr<Err: Display>>(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Option<T> {
        self.non_empty(key).and_then(|_| self.try_parse(key, example, from_str))
    }

    fn try_parse<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key);
        let parsed = if text.is_empty() { Err("missing".to_owned()) } else { parse(&text) };
        parsed.map_err(|problem| self.error(key, &with_example(problem, example))).ok()
    }

    pub(super) fn url(&mut self, key: &'static str) -> Url {
        self.parsed_by(key, "https://example.com/capital", |text| {
            let url: Url = match text.parse() {
                Ok(url) => url,
                Err(url::ParseError::RelativeUrlWithoutBase) => return Err(NOT_HTTP.to_owned()),
                Err(error) => return Err(error.to_string()),
            };
            let is_http = url.host_str().is_some() && matches!(url.scheme(), "http" | "https");
            if is_http { Ok(url) } else { Err(NOT_HTTP.to_owned()) }
        })
    }

    pub(super) fn optional_url(&mut self, key: &'static str) -> Option<Url> {
        self.non_empty(key).map(|_| self.url(key))
    }

    /// A URL whose origin becomes part of a Content-Security-Policy.
    pub(super) fn image_url(&mut self, key: &'static str) -> Option<Url> {
        let url = self.optional_url(key)?;
        if !has_plain_host(&url) {
            self.error(
                key,
                "its host may have letters, digits, dots, hyphens and underscores only",
            );
        }
        Some(url)
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Duration {
        self.parsed_by(key, "30s", |text| match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => Err("must be longer than zero".to_owned()),
            Ok(duration) => Ok(duration),
            Err(_) => Err("not a duration".to_owned()),
        })
    }

    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        let value = &self.layers.get(key).value;
        let flag = value.as_str().map_or_else(|| value.as_bool(), |text| text.trim().parse().ok());
        flag.unwrap_or_else(|| {
            self.error(key, "must be true or false");
            false
        })
    }

    pub(super) fn number<T: TryFrom<i64>>(&mut self, key: &'static str, min: i64) -> T {
        let value = &self.layers.get(key).value;
        let number =
            value.as_str().map_or_else(|| value.as_integer(), |text| text.trim().parse().ok());
        let in_range = number.filter(|number| *number >= min).map(T::try_from);
        in_range.and_then(Result::ok).unwrap_or_else(|| {
            self.error(key, &format!("must be a whole number, {min} or more"));
            let min = T::try_from(min).ok();
            min.expect("each minimum fits its type: a unit test reads every key with an error")
        })
    }

    pub(super) fn listen(&mut self, key: &'static str, example: &str) -> SocketAddr {
        self.parsed_by(key, example, |text| {
            text.parse().map_err(|_| "not an IP address with a port".to_owned())
        })
    }

    /// An array in the file, or text separated by commas. Without the values that have an error.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let items: Vec<String> = match self.layers.get(key).value.as_array() {
            Some(all) => all.iter().map(|item| item.as_str().unwrap_or_default().into()).collect(),
            None => self
                .non_empty(key)
                .iter()
                .flat_map(|text| text.split(','))
                .map(Into::into)
                .collect(),
        };
        let mut parsed = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match parse(item.trim()) {
                Ok(value) => parsed.push(value),
                Err(error) if items.len() == 1 => self.error(key, &error),
                Err(error) => self.error(key, &format!("value {}: {error}", at + 1)),
            }
        }
        parsed
    }

    /// Names the variable or the file that sets the key, and shows the value unless it is a secret.
    pub(super) fn error(&mut self, key: &'static str, problem: &str) {
        if !self.invalid.insert(key) {
            return;
        }
        let entry = self.layers.get(key);
        let place = match &entry.origin {
            Some(Origin::Variable(name)) => format!("{name} ({key})"),
            Some(Origin::File(path)) => format!("{key} (from {path})"),
            None => format!("{} ({key})", best_known_variable(key)),
        };
        let shown = match entry.value.as_str() {
            _ if SECRETS.contains(&key) => String::new(),
            Some("") => String::new(),
            Some(text) => format!("{text:?}: "),
            None => format!("{}: ", entry.value),
        };
        self.errors.push(Error::new(place, format!("{shown}{problem}")));
    }

    /// Every setting, without the values of secrets.
    pub(super) fn in_force(&self) -> Vec<SettingInForce> {
        let show = |(key, entry): (&String, &Entry)| {
            let is_secret = SECRETS.contains(&key.as_str());
            let text = entry.value.as_str().map_or_else(|| entry.value.to_string(), str::to_owned);
            let is_set = !text.is_empty() && entry.value.as_array().is_none_or(|of| !of.is_empty());
            let value = match (is_secret, is_set) {
                (true, true) => "set".to_owned(),
                (true, false) => String::new(),
                (false, _) => text,
            };
            let source = entry.origin.as_ref().map(ToString::to_string);
            SettingInForce { key: key.clone(), value, is_secret, source }
        };
        self.layers.entries().map(show).collect()
    }

    pub(super) fn is_valid(&self, key: &'static str) -> bool {
        !self.invalid.contains(key)
    }
}

/// Appends the example, unless the problem shows the form already.
fn with_example(problem: String, example: &str) -> String {
    if problem.contains(example.trim_end_matches('…')) {
        return problem;
    }
    format!("{problem}; example: {example}")
}

pub(super) fn from_str<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Whether the host means itself in a Content-Security-Policy. A URL's host may have characters
/// that end a directive (`;`) or match other hosts (`*`).
pub(super) fn has_plain_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => is_plain_host(domain),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

pub(super) fn is_plain_host(domain: &str) -> bool {
    domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}
