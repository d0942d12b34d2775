//! libFuzzer's program for the target `request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::request::run(data));
