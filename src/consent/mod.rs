//! Consent: which accounts and addresses may receive letters.
//!
//! | module | owns |
//! |---|---|
//! | [`opt_outs`] | accounts that receive no letters, and the unsubscribe link |
//! | [`suppression`] | addresses that are undeliverable |
//! | [`contact_overrides`] | addresses that the platform sets for an account |

pub mod contact_overrides;
pub mod opt_outs;
pub mod suppression;
