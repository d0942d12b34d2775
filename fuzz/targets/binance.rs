//! libFuzzer's program for the target `binance`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::binance::run(data));
