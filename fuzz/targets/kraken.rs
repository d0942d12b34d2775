//! libFuzzer's program for the target `kraken`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::kraken::run(data));
