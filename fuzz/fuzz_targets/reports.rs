//! Reports about letters, as a mail server sends them.
#![no_main]

libfuzzer_sys::fuzz_target!(|message: &[u8]| capital_courier_fuzz::report(message));
