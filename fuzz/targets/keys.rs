//! libFuzzer's program for the target `keys`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::keys::run(data));
