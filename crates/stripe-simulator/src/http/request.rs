//! One request, read whole, and its parameters.

use bytes::Bytes;
use hyper::HeaderMap;

use super::response::ApiResponse;

pub(crate) struct ApiRequest {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: Parameters,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ApiRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The path's segments.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.trim_matches('/').split('/').collect()
    }

    /// The body as a form.
    pub(crate) fn form(&self) -> Parameters {
        Parameters::parse(&self.body)
    }
}

/// What was asked of the simulator, for a test to look at.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub idempotency_key: Option<String>,
    pub stripe_account: Option<String>,
    pub stripe_version: Option<String>,
    /// The status of the response; none if the connection was closed without one.
    pub status: Option<u16>,
}

/// Form-encoded parameters, of a query or a body.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The last value of the name, as Stripe takes it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().rev();
        values.find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The values of `name[]` or `name[0]`, `name[1]`, ….
    pub(crate) fn array(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(given, _)| element_of(given) == Some(name));
        values.map(|(_, value)| value.as_str()).collect()
    }

    /// Stripe refuses parameters that it does not know. `known` has arrays as `name[]`, and objects
    /// of any content as `name[*]`.
    pub(crate) fn refuse_unknown(&self, known: &[&[&str]]) -> Result<(), ApiResponse> {
        let is_known = |name: &str| {
            known.iter().copied().flatten().any(|known| {
                if let Some(object) = known.strip_suffix("[*]") {
                    name.strip_prefix(object).is_some_and(|rest| rest.starts_with('['))
                } else if let Some(array) = known.strip_suffix("[]") {
                    element_of(name) == Some(array)
                } else {
                    name == *known
                }
            })
        };
        match self.0.iter().find(|(name, _)| !is_known(name)) {
            None => Ok(()),
            Some((name, _)) => Err(ApiResponse::invalid_parameter(
                Some("parameter_unknown"),
                &format!("Received unknown parameter: {name}"),
                name,
            )),
        }
    }

    /// An integer, if it is given.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ApiResponse> {
        let parse = |value: &str| {
            value.parse().map_err(|_| {
                let message = format!("Invalid integer: {value}");
                ApiResponse::invalid_parameter(Some("parameter_invalid_integer"), &message, name)
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// `true` or `false`, if it is given.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiResponse> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(value) => {
                let message = format!("Invalid boolean: {value}");
                Err(ApiResponse::invalid_parameter(None, &message, name))
            }
        }
    }
}

/// The array that `name[]` or `name[0]` is an element of.
fn element_of(name: &str) -> Option<&str> {
    let (array, index) = name.strip_suffix(']')?.split_once('[')?;
    index.bytes().all(|digit| digit.is_ascii_digit()).then_some(array)
}
