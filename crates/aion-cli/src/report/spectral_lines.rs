//! Features that are marked in spectra.

/// Name and rest wavelength in vacuum, Angstrom, of emission and absorption lines.
pub const LINES: [(&str, f64); 17] = [
    ("Lyα", 1215.67),
    ("C IV", 1549.06),
    ("C III]", 1908.73),
    ("Mg II", 2799.12),
    ("[O II]", 3728.48),
    ("K", 3934.78),
    ("H", 3969.59),
    ("Hδ", 4102.89),
    ("Hγ", 4341.68),
    ("Hβ", 4862.68),
    ("[O III]", 4960.30),
    ("[O III]", 5008.24),
    ("Mg b", 5176.63),
    ("Na D", 5895.60),
    ("Hα", 6564.61),
    ("[S II]", 6725.50),
    ("Ca II", 8544.40),
];

/// Lines that fall between two observed wavelengths at a redshift: their names, and wavelengths
/// in the observer's frame.
pub fn lines_at(redshift: f64, low: f64, high: f64) -> Vec<(&'static str, f64)> {
    let shifted = LINES
        .iter()
        .map(|(name, rest)| (*name, rest * (1.0 + redshift)));
    shifted
        .filter(|(_, observed)| (low..high).contains(observed))
        .collect()
}
