//! libFuzzer's program for the target `protobuf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tickcast_fuzz::protobuf::run(data));
