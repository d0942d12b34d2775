//! libFuzzer's program for the target `recording`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::recording::run(data));
