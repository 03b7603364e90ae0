//! The API and the merchant's Capital section.

pub mod api;
mod api_copy;
pub mod api_financing;
mod api_sessions;
mod brand;
mod console;
mod markets;
mod metrics;
mod openapi;
pub mod section;
mod section_adoption;
mod section_delivery;
mod section_embedded;
pub mod section_phases;
mod visits;
