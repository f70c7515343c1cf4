//! Photometric bands of the image codec and their zero points.

/// A band that the published image codec knows, at its channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Upper-case name, survey first.
    pub name: &'static str,
    /// The largest absolute flux that the codec keeps, in the image's own unit; beyond it pixels
    /// are clipped. Not stored in checkpoints.
    pub clamp: f32,
    /// AB zero point of the image's own unit, mag.
    pub zeropoint: f32,
}

/// Bands in channel order of the image codec (9 channels). Not stored in checkpoints.
pub static BANDS: [Band; 9] = [
    band("HSC-G", 80.0, HSC_ZEROPOINT),
    band("HSC-R", 110.0, HSC_ZEROPOINT),
    band("HSC-I", 200.0, HSC_ZEROPOINT),
    band("HSC-Z", 330.0, HSC_ZEROPOINT),
    band("HSC-Y", 500.0, HSC_ZEROPOINT),
    band("DES-G", 6.0, LEGACY_ZEROPOINT),
    band("DES-R", 15.0, LEGACY_ZEROPOINT),
    band("DES-I", 20.0, LEGACY_ZEROPOINT),
    band("DES-Z", 25.0, LEGACY_ZEROPOINT),
];

/// AB zero point of HSC coadds, mag.
pub const HSC_ZEROPOINT: f32 = 27.0;
/// AB zero point of nanomaggies, mag: the unit that the codec works in.
pub const LEGACY_ZEROPOINT: f32 = 22.5;

const fn band(name: &'static str, clamp: f32, zeropoint: f32) -> Band {
    Band {
        name,
        clamp,
        zeropoint,
    }
}

/// Channel of the band called `name`, in any case.
pub fn channel(name: &str) -> Option<usize> {
    BANDS
        .iter()
        .position(|band| band.name.eq_ignore_ascii_case(name))
}

/// All band names, for messages.
pub fn known_bands() -> String {
    let names: Vec<&str> = BANDS.iter().map(|band| band.name).collect();
    names.join(", ")
}
