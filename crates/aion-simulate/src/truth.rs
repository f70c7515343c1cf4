//! What the simulator knows about an object, for tests and for training on labels.

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A galaxy.
    Galaxy,
    /// A star of the Milky Way.
    Star,
    /// A quasar.
    Quasar,
}

impl Class {
    /// As spectroscopic pipelines spell it: `GALAXY`, `STAR`, `QSO`.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Galaxy => "GALAXY",
            Class::Star => "STAR",
            Class::Quasar => "QSO",
        }
    }
}

/// True properties of a simulated object; `None` where they make no sense for its class.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Kind of object.
    pub class: Class,
    /// Redshift; for a star its radial velocity over the speed of light.
    pub redshift: f64,
    /// Half-light radius along the major axis, arcsec; 0 for a point source.
    pub half_light_radius: f64,
    /// Effective Sersic index: 1 for a pure disc, 4 for a pure bulge.
    pub sersic_index: Option<f64>,
    /// Minor over major axis.
    pub axis_ratio: Option<f64>,
    /// Position angle of the major axis, from north to east, degrees.
    pub position_angle: Option<f64>,
    /// log10 of the stellar mass in solar masses.
    pub log_mass: Option<f64>,
    /// log10 of the star formation rate in solar masses a year.
    pub log_sfr: Option<f64>,
    /// Mass-weighted age of the stars, Gyr.
    pub age: Option<f64>,
    /// log10 of the metallicity over the Sun's; for a star \[Fe/H\].
    pub metallicity: Option<f64>,
    /// Attenuation of the starlight in V by the galaxy's own dust, mag.
    pub attenuation: Option<f64>,
    /// Effective temperature, K.
    pub teff: Option<f64>,
    /// log10 of the surface gravity in cm/s2.
    pub logg: Option<f64>,
    /// Parallax, mas; 0 beyond the Milky Way.
    pub parallax: f64,
    /// Reddening E(B-V) by the Milky Way, mag.
    pub ebv: f64,
    /// Noiseless AB magnitude in DECam's r band, not dereddened.
    pub magnitude_r: f64,
}

impl Truth {
    /// A point source beyond the Milky Way of which nothing else is known.
    pub(super) fn new(class: Class, redshift: f64, ebv: f64) -> Self {
        Truth {
            class,
            redshift,
            half_light_radius: 0.0,
            sersic_index: None,
            axis_ratio: None,
            position_angle: None,
            log_mass: None,
            log_sfr: None,
            age: None,
            metallicity: None,
            attenuation: None,
            teff: None,
            logg: None,
            parallax: 0.0,
            ebv,
            magnitude_r: f64::NAN,
        }
    }
}
