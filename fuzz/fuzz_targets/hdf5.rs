//! HDF5, with its filters.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| aion_fuzz::observations("hdf5", data));
