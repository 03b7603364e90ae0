//! Email addresses and addresses of relays.
#![no_main]

libfuzzer_sys::fuzz_target!(|given: &str| capital_courier_fuzz::address(given));
