//! libFuzzer's program for the target `coinbase`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::coinbase::run(data));
