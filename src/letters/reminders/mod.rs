//! Reminders: the letters that follow an offer's first one. [`schedule`] says when they are due,
//! [`store`] finds those that are. [`crate::maintenance::reminders`] opens them.

pub mod schedule;
pub mod store;

pub use schedule::{Hours, Schedule, Weekdays};
