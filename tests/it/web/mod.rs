//! The API and the merchant's Capital section.

pub mod api;
mod api_financing;
mod metrics;
mod openapi;
mod section;
pub mod section_phases;
mod visits;
