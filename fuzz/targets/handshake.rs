//! libFuzzer's program for the target `handshake`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::handshake::run(data));
