//! The five stages, from a signed webhook to the report that the offer was delivered.

mod backlog;
mod batches;
mod event_order;
mod inbox_writer;
mod letters_together;
mod live_mode;
mod mark_delivered;
mod nul;
mod stages;
mod told_elsewhere;
mod webhook;
