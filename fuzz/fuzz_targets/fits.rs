//! FITS: headers, image and table HDUs, tile compression, and the survey readers above them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| aion_fuzz::observations("fits", data));
