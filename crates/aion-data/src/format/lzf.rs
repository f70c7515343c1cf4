//! LZF, the fast compression that h5py offers for HDF5 chunks (filter 32000 of the registry).
//!
//! A stream is a sequence of runs. A control byte below 32 says how many literal bytes follow, less
//! one. Any other holds the length of a copy, less two, in its upper 3 bits (7: more in the next
//! byte), and with the byte after that the distance back, less one, in 13 bits.

/// The decompressed bytes; `None` for a damaged stream or one longer than `longest`.
pub fn decompress(data: &[u8], longest: usize) -> Option<Vec<u8>> {
    let mut out: Vec<u8> = Vec::with_capacity(data.len().min(longest));
    let mut input = data.iter().copied();
    while let Some(control) = input.next() {
        let control = usize::from(control);
        let length = if control < 32 {
            let end = out.len() + control + 1;
            out.extend(input.by_ref().take(control + 1));
            if out.len() < end {
                return None;
            }
            continue;
        } else {
            let long = if control >> 5 == 7 {
                usize::from(input.next()?)
            } else {
                0
            };
            (control >> 5) + long + 2
        };
        let distance = ((control & 31) << 8) + usize::from(input.next()?) + 1;
        let start = out.len().checked_sub(distance)?;
        if out.len() + length > longest {
            return None;
        }
        // A copy may overlap what it writes: a run of one value is a copy from one byte back.
        for at in start..start + length {
            out.push(*out.get(at)?);
        }
    }
    (out.len() <= longest).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn literals_copies_and_runs_are_expanded() {
        assert_eq!(decompress(&[2, 7, 8, 9], 9).unwrap(), [7, 8, 9]);
        assert_eq!(decompress(&[1, 7, 8, 0x20, 1], 9).unwrap(), [7, 8, 7, 8, 7]);
        assert_eq!(decompress(&[0, 5, 0xe0, 1, 0], 99).unwrap(), [5; 11]);
    }

    #[test]
    fn damage_and_bombs_are_refused() {
        assert_eq!(decompress(&[2, 7], 9), None, "cut literal");
        assert_eq!(
            decompress(&[0x20, 0], 9),
            None,
            "copy from before the start"
        );
        assert_eq!(decompress(&[0, 5, 0xe0, 1, 0], 10), None, "too long");
        assert_eq!(decompress(&[0, 5, 0xe0], 99), None, "cut copy");
    }
}
