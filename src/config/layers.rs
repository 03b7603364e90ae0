//! Lays file and environment over the defaults, key by key, and remembers where each value came from.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use toml::Value;

use super::{DEFAULTS, Fault};

/// Names that the field already uses. A `COURIER_…` name of the same key wins over them.
const WELL_KNOWN: [(&str, &str); 6] = [
    ("DATABASE_URL", "database.url"),
    ("STRIPE_API_KEY", "stripe.api_key"),
    ("STRIPE_WEBHOOK_SECRET", "webhook.secrets"),
    ("SMTP_URL", "email.relay_url"),
    ("RUST_LOG", "telemetry.filter"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
];

/// Values that are not printed, and that can be read from a file of their own.
pub(super) const SECRETS: [&str; 7] = [
    "database.url",
    "stripe.api_key",
    "webhook.secrets",
    "email.relay_url",
    "email.dkim_key",
    "ops.token",
    "portal.token_secret",
];

const PREFIX: &str = "COURIER_";
/// A variable of test builds (see `crash`), not a setting.
const NOT_SETTINGS: [&str; 1] = ["COURIER_CRASH_AT"];

/// Where a value came from, as one finds it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(String),
    Variable(String),
}

/// A value and its origin.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Every key with the value that holds.
#[derive(Clone, Debug)]
pub(super) struct Layers(BTreeMap<String, Entry>);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl Layers {
    /// Lays all layers over each other. What is wrong in them goes to `faults`, and the layer below holds there.
    pub(super) fn read(
        file: Option<&Path>,
        env: &HashMap<String, String>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let defaults: toml::Table =
            DEFAULTS.parse().expect("config/default.toml is read by a unit test, so it is TOML");
        let mut layers = Self(BTreeMap::new());
        for (key, value) in flatten(&defaults) {
            layers.0.insert(key, Entry { value, origin: Origin::Default });
        }
        if let Some(path) = file {
            layers.lay_file(path, faults);
        }
        layers.lay_port(env);
        for (name, key) in WELL_KNOWN {
            layers.lay_variable(name, key, env, faults);
        }
        let keys: Vec<String> = layers.0.keys().cloned().collect();
        for key in &keys {
            layers.lay_variable(&variable(key), key, env, faults);
        }
        refuse_unknown(env, &keys, faults);
        layers
    }

    /// The entry of a key of `default.toml`.
    pub(super) fn get(&self, key: &str) -> &Entry {
        self.0
            .get(key)
            .expect("only keys of config/default.toml are asked for: a unit test reads them all")
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    fn lay_file(&mut self, path: &Path, faults: &mut Vec<Fault>) {
        let place = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return faults.push(Fault::new(&place, format!("cannot read it: {error}")));
            }
        };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return faults.push(Fault::new(&place, format!("not TOML: {error}"))),
        };
        for (key, value) in flatten(&table) {
            match self.0.get_mut(&key) {
                Some(entry) => *entry = Entry { value, origin: Origin::File(place.clone()) },
                None => {
                    faults.push(unknown(
                        &format!("{place}: {key}"),
                        &key,
                        self.0.keys().map(String::as_str),
                    ));
                }
            }
        }
    }

    /// `PORT` is a port alone, as platforms that run containers set it.
    fn lay_port(&mut self, env: &HashMap<String, String>) {
        if let (Some(port), Some(entry)) = (env.get("PORT"), self.0.get_mut("http.listen")) {
            let value = Value::String(format!("0.0.0.0:{port}"));
            *entry = Entry { value, origin: Origin::Variable("PORT".to_owned()) };
        }
    }

    fn lay_variable(
        &mut self,
        name: &str,
        key: &str,
        env: &HashMap<String, String>,
        faults: &mut Vec<Fault>,
    ) {
        let file_name = format!("{name}_FILE");
        let from_file = env.get(&file_name).filter(|_| SECRETS.contains(&key));
        let (name, text) = match (env.get(name), from_file) {
            (None, None) => return,
            (Some(_), Some(_)) => {
                return faults
                    .push(Fault::new(name, format!("{file_name} is set too: set one of them")));
            }
            (Some(text), None) => (name.to_owned(), text.clone()),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) => (file_name, text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    return faults
                        .push(Fault::new(&file_name, format!("cannot read {path}: {error}")));
                }
            },
        };
        let Some(entry) = self.0.get_mut(key) else { return };
        match typed(&text, &entry.value) {
            Ok(value) => *entry = Entry { value, origin: Origin::Variable(name) },
            Err(expected) => faults.push(Fault::new(&name, format!("`{text}` is not {expected}"))),
        }
    }
}

/// Text from the environment, read as what the default is.
fn typed(text: &str, like: &Value) -> Result<Value, &'static str> {
    match like {
        Value::Integer(_) => text.trim().parse().map(Value::Integer).map_err(|_| "a whole number"),
        Value::Boolean(_) => text.trim().parse().map(Value::Boolean).map_err(|_| "true or false"),
        Value::String(_)
        | Value::Float(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => Ok(Value::String(text.to_owned())),
    }
}

/// `section.key` for every value of a table of tables.
fn flatten(table: &toml::Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (section, value) in table {
        match value.as_table() {
            Some(inner) => {
                flat.extend(
                    inner.iter().map(|(key, value)| (format!("{section}.{key}"), value.clone())),
                );
            }
            None => flat.push((section.clone(), value.clone())),
        }
    }
    flat
}

/// The variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// A variable that is spelt wrong must not be passed over in silence. One without `__` is none of ours, unless it is nearly the
/// name of a setting: Kubernetes sets `COURIER_SERVICE_HOST` and the like where a Service is called `courier`.
fn refuse_unknown(env: &HashMap<String, String>, keys: &[String], faults: &mut Vec<Fault>) {
    let known: Vec<String> = keys
        .iter()
        .flat_map(|key| {
            let name = variable(key);
            let file = SECRETS.contains(&key.as_str()).then(|| format!("{name}_FILE"));
            std::iter::once(name).chain(file)
        })
        .collect();
    let mut strange: Vec<&String> = env
        .keys()
        .filter(|name| name.starts_with(PREFIX) && !name.starts_with("COURIER_TEST_"))
        .filter(|name| !known.contains(name) && !NOT_SETTINGS.contains(&name.as_str()))
        .filter(|name| {
            let is_near = |known: &String| distance(name, known) <= 2;
            name[PREFIX.len()..].contains("__") || known.iter().any(is_near)
        })
        .collect();
    strange.sort();
    faults.extend(
        strange.into_iter().map(|name| unknown(name, name, known.iter().map(String::as_str))),
    );
}

fn unknown<'a>(place: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Fault {
    let nearest = known.map(|known| (distance(name, known), known)).min();
    let hint = match nearest {
        Some((distance, known)) if distance <= 4 => format!("; did you mean {known}?"),
        Some(_) | None => String::new(),
    };
    Fault::new(place, format!("there is no such setting{hint}"))
}

/// Levenshtein's distance, for a suggestion.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let cost = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}
