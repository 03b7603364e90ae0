//! Who may be written to, and where: opt-outs, the suppression list, and contact overrides.

pub mod contact_overrides;
pub mod opt_outs;
pub mod suppression;
