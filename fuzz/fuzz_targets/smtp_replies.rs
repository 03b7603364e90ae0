//! Replies of a relay.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| capital_courier_fuzz::smtp_replies(bytes));
