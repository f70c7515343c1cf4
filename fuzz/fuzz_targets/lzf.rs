//! LZF, the compression of HDF5 chunks: no input panics or gives more than it may.

#![no_main]

use aion_data::format::lzf::decompress;
use libfuzzer_sys::fuzz_target;

const LONGEST: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    if let Some(bytes) = decompress(data, LONGEST) {
        assert!(bytes.len() <= LONGEST);
    }
});
