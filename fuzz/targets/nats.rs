//! libFuzzer's program for the target `nats`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::nats::run(data));
