//! libFuzzer's program for the target `coinbase_exchange`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::coinbase_exchange::run(data));
