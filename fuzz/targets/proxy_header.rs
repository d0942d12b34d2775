//! libFuzzer's program for the target `proxy_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::proxy_header::run(data));
