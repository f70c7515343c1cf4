//! Tables as text: CSV with any delimiter, and ECSV.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| aion_fuzz::observations("csv", data));
