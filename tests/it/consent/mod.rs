//! Opt-outs and contact overrides.

mod contact_overrides;
mod unsubscribe;
