//! Real objects from the public services of the surveys, as files that `aion-data` reads.
