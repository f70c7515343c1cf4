//! Agreement of the codecs with the Python reference, on the cases of `fixtures/` or of the folder
//! that `AION_FIXTURES` names.

mod fit;
mod parity;
