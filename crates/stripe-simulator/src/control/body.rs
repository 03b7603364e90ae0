//! A JSON body, and its fields.

use serde_json::Value;

use crate::error::ActionError;

pub(super) struct Body(Value);

impl Body {
    /// No body is an empty one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self(Value::Null));
        }
        serde_json::from_slice(bytes).ok().map(Self)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0[name].as_str().map(str::to_owned)
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.0[name].as_i64()
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.0[name].as_f64()
    }

    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        self.0[name].as_bool()
    }

    pub(super) fn object(&self, name: &str) -> Option<Self> {
        self.0[name].is_object().then(|| Self(self.0[name].clone()))
    }

    /// Refused if it is given and no count.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, ActionError> {
        serde_json::from_value(self.0[name].clone())
            .map_err(|_| ActionError(format!("`{name}` is no count")))
    }

    /// Refused if it is given and no list of strings.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ActionError> {
        serde_json::from_value(self.0[name].clone())
            .map_err(|_| ActionError(format!("`{name}` is no list of strings")))
    }
}
