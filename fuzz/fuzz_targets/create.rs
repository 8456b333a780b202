//! See `isolab_engine::fuzz::create`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isolab_engine::fuzz::create(data));
