//! See `isolab_engine::fuzz::dockerfile`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isolab_engine::fuzz::dockerfile(data));
