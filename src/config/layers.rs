//! Merges the defaults, the file and the environment key by key, and records where each value came
//! from.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::{DEFAULTS, Error};

/// Names in common use. The `COURIER_…` name of the same key overrides them.
const WELL_KNOWN: [(&str, &str); 6] = [
    ("DATABASE_URL", "database.url"),
    ("STRIPE_API_KEY", "stripe.api_key"),
    ("STRIPE_WEBHOOK_SECRET", "webhook.secrets"),
    ("SMTP_URL", "email.relay_url"),
    ("RUST_LOG", "telemetry.filter"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
];

/// Names of earlier versions, with their present ones.
const RENAMED: [(&str, &str); 2] =
    [("portal.logo_url", "brand.logo_url"), ("portal.accent_color", "brand.accent_color")];

/// Never printed. Their variables have a `…_FILE` form, which names a file to read.
pub(super) const SECRETS: [&str; 8] = [
    "database.url",
    "stripe.api_key",
    "webhook.secrets",
    "email.relay_url",
    "email.dkim_key",
    "ops.read_only_token",
    "ops.token",
    "portal.token_secret",
];

const PREFIX: &str = "COURIER_";

#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Text from the environment is a string, whatever the type of the default.
    pub(super) value: Value,
    /// `None`: the default.
    pub(super) origin: Option<Origin>,
}

/// What set a value.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Variable(String),
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) | Self::File(name) => f.write_str(name),
        }
    }
}

/// Every key of `default.toml` with the value in force.
#[derive(Clone, Debug)]
pub(super) struct Layers(BTreeMap<String, Entry>);

impl Layers {
    /// A value that cannot be read is added to `errors` and leaves the value of the layer below.
    pub(super) fn read(
        file: Option<&Path>,
        env: &HashMap<String, String>,
        errors: &mut Vec<Error>,
    ) -> Self {
        let defaults = DEFAULTS.parse().expect("a unit test parses config/default.toml");
        let defaults = flatten(defaults).map(|(key, value)| (key, Entry { value, origin: None }));
        let mut layers = Self(defaults.collect());
        if let Some(path) = file {
            layers.apply_file(path, errors);
        }
        // Container platforms set the port alone and expect the process to listen on all addresses.
        if let Some(port) = env.get("PORT") {
            let origin = Origin::Variable("PORT".to_owned());
            layers.set("http.listen", Value::String(format!("0.0.0.0:{port}")), origin);
        }
        let keys: Vec<String> = layers.0.keys().cloned().collect();
        let own = keys.iter().map(|key| (variable(key), key.as_str()));
        let well_known = WELL_KNOWN.map(|(name, key)| (name.to_owned(), key));
        for (name, key) in well_known.into_iter().chain(own) {
            match value_of(&name, key, env) {
                Ok(Some((text, name))) => {
                    layers.set(key, Value::String(text), Origin::Variable(name));
                }
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        refuse_unknown(env, &keys, errors);
        layers
    }

    pub(super) fn get(&self, key: &str) -> &Entry {
        self.0.get(key).expect("a unit test reads every key, so each is in config/default.toml")
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.0.iter()
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        self.0.insert(key.to_owned(), Entry { value, origin: Some(origin) });
    }

    fn apply_file(&mut self, path: &Path, errors: &mut Vec<Error>) {
        let file = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return errors.push(Error::new(file, format!("cannot read it: {error}"))),
        };
        let table = match text.parse() {
            Ok(table) => table,
            Err(error) => return errors.push(Error::new(file, format!("invalid TOML: {error}"))),
        };
        for (key, value) in flatten(table) {
            if self.0.contains_key(&key) {
                self.set(&key, value, Origin::File(file.clone()));
            } else {
                let place = format!("{file}: {key}");
                errors.push(match RENAMED.iter().find(|(old, _)| *old == key) {
                    Some((_, new)) => renamed(place, new),
                    None => unknown(place, nearest(&key, self.0.keys().map(String::as_str))),
                });
            }
        }
    }
}

/// The text of a variable, or of the file that its `…_FILE` form names, and the variable read.
fn value_of(
    name: &str,
    key: &str,
    env: &HashMap<String, String>,
) -> Result<Option<(String, String)>, Error> {
    let file_variable = format!("{name}_FILE");
    let path = env.get(&file_variable).filter(|_| SECRETS.contains(&key));
    match (env.get(name), path) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some((text.clone(), name.to_owned()))),
        (None, Some(path)) => match fs::read_to_string(path) {
            // Editors end a file with a line break, which is not part of the secret.
            Ok(text) => Ok(Some((text.trim_end_matches(['\r', '\n']).to_owned(), file_variable))),
            Err(error) => Err(Error::new(file_variable, format!("cannot read {path}: {error}"))),
        },
        (Some(_), Some(_)) => {
            Err(Error::new(name, format!("{file_variable} is set too: set only one of them")))
        }
    }
}

/// `section.key` for every value.
fn flatten(table: Table) -> impl Iterator<Item = (String, Value)> {
    table.into_iter().flat_map(|(section, value)| {
        let Some(inner) = value.as_table() else { return vec![(section, value)] };
        inner.iter().map(|(key, value)| (format!("{section}.{key}"), value.clone())).collect()
    })
}

/// The name in common use, or the `COURIER_…` name.
pub(super) fn best_known_variable(key: &str) -> String {
    let known = WELL_KNOWN.iter().find(|(_, of)| *of == key);
    known.map_or_else(|| variable(key), |(name, _)| (*name).to_owned())
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// A misspelt variable must not be ignored. One without `__` is not a setting unless it is close to
/// one: Kubernetes sets `COURIER_SERVICE_HOST` and others for a Service named `courier`.
fn refuse_unknown(env: &HashMap<String, String>, keys: &[String], errors: &mut Vec<Error>) {
    let files = SECRETS.iter().map(|key| format!("{}_FILE", variable(key)));
    let known: Vec<String> = keys.iter().map(|key| variable(key)).chain(files).collect();
    let mut unknown_variables: Vec<(&String, Option<(usize, &str)>)> = env
        .keys()
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
        // For tests, and for test builds (see `crash`).
        .filter(|name| !name.starts_with("COURIER_TEST_") && *name != "COURIER_CRASH_AT")
        .map(|name| (name, nearest(name, known.iter().map(String::as_str))))
        .filter(|(name, nearest)| {
            name[PREFIX.len()..].contains("__")
                || nearest.is_some_and(|(distance, _)| distance <= 2)
        })
        .collect();
    unknown_variables.sort();
    errors.extend(unknown_variables.into_iter().map(|(name, nearest)| {
        match RENAMED.iter().find(|(old, _)| variable(old) == *name) {
            Some((_, new)) => renamed(name, &variable(new)),
            None => unknown(name, nearest),
        }
    }));
}

fn renamed(place: impl Into<String>, new: &str) -> Error {
    Error::new(place, format!("this setting is now {new}"))
}

fn unknown(place: impl Into<String>, nearest: Option<(usize, &str)>) -> Error {
    let hint = match nearest {
        Some((..=4, known)) => format!("; did you mean {known}?"),
        Some(_) | None => String::new(),
    };
    Error::new(place, format!("unknown setting{hint}"))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    known.map(|known| (strsim::levenshtein(name, known), known)).min()
}
