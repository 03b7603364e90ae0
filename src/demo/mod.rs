//! What `capital-courier demo` runs beside the service.

pub mod mail;
