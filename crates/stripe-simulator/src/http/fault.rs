//! Faults on request: what a client must survive, and Stripe seldom shows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What goes wrong with the next requests that match.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `GET` or `POST`; empty for any.
    pub method: &'static str,
    /// A part of the path; empty for any.
    pub path: &'static str,
    /// The number of requests.
    pub times: u32,
    pub kind: FaultKind,
}

#[derive(Clone, Debug)]
pub enum FaultKind {
    /// An error in Stripe's shape. Nothing is done, and no Idempotency-Key remembers it.
    Error {
        status: u16,
        /// `error.code`.
        code: &'static str,
        /// Further headers, such as `Retry-After`.
        headers: Vec<(&'static str, String)>,
    },
    /// A 500 that is stored under the Idempotency-Key and given again for a day.
    StoredError,
    /// 200 with a body that is not JSON.
    MalformedBody,
    /// The page of a proxy in place of Stripe's response.
    ProxyPage {
        status: u16,
        /// Further headers, such as `Location`.
        headers: Vec<(&'static str, String)>,
    },
    /// The connection closes before anything is done.
    DisconnectBefore,
    /// The request is carried out, and the connection closes before the response.
    DisconnectAfter,
    /// The request is carried out after this time.
    Delay(Duration),
}

impl Fault {
    fn matches(&self, method: &str, path: &str) -> bool {
        self.times > 0
            && (self.method.is_empty() || self.method == method)
            && path.contains(self.path)
    }
}

#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn push(&self, fault: Fault) {
        self.faults().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.faults().clear();
    }

    /// The fault of this request, if it has one. It counts as used.
    pub(crate) fn take(&self, method: &str, path: &str) -> Option<FaultKind> {
        let mut faults = self.faults();
        let fault = faults.iter_mut().find(|fault| fault.matches(method, path))?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
