//! Cross-matching: pairs against a brute-force search, motions against astropy, and the dataset of
//! pairs written and read back.

mod epoch;
mod matching;
mod pairs;
mod samples;
