//! libFuzzer's program for the target `deflate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::deflate::run(data));
