//! What goes wrong on request.

use std::time::Duration;

/// Something that goes wrong with the next requests that fit.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `GET`, `POST`; empty: any.
    pub method: &'static str,
    /// A part of the path; empty: any.
    pub path: &'static str,
    /// For how many requests.
    pub times: u32,
    /// What goes wrong.
    pub trouble: Trouble,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// This answer, without doing anything, and without remembering it.
    Answer {
        /// The HTTP status.
        status: u16,
        /// `error.code`.
        code: &'static str,
        /// Further headers, such as `Retry-After`.
        headers: Vec<(&'static str, String)>,
    },
    /// A 500 that Stripe remembers under the Idempotency-Key and gives again for a day.
    Remembered500,
    /// 200 with a page that is no JSON.
    Garbage,
    /// A proxy's page in place of Stripe's answer.
    Page {
        /// The HTTP status.
        status: u16,
        /// Further headers, such as `Location`.
        headers: Vec<(&'static str, String)>,
    },
    /// The connection ends before anything is done.
    DropBefore,
    /// It is done, and the connection ends before the answer.
    DropAfter,
    /// Nothing happens for this long; then all goes well.
    Stall(Duration),
}

impl Fault {
    pub(crate) fn fits(&self, method: &str, path: &str) -> bool {
        self.times > 0
            && (self.method.is_empty() || self.method == method)
            && path.contains(self.path)
    }
}
