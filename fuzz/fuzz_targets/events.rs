//! Bodies of Stripe's events, and the objects in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| capital_courier_fuzz::event(body));
