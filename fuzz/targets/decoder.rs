//! libFuzzer's program for the target `decoder`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::decoder::run(data));
