//! Messages on the wire and the way to the relay.

mod dkim;
mod sending_rate;
mod smtp;
mod tls;
