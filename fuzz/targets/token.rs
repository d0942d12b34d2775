//! libFuzzer's program for the target `token`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::token::run(data));
