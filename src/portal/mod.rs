//! What merchants see of the service: so far the page by which they stop the letters.

mod unsubscribe;

pub use unsubscribe::{Unsubscribe, router};
