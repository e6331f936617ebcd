//! Any bytes as a KDL file of a site: no panic, every mistake at its place, and the same result twice.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bootwright_fuzz::load("policies.d/site.kdl", bytes));
