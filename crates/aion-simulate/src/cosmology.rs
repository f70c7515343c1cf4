//! Distances and ages in a flat universe of matter and a cosmological constant
//! (H0 = 70 km/s/Mpc, Omega_m = 0.3).

const HUBBLE: f64 = 70.0;
const OMEGA_MATTER: f64 = 0.3;
const OMEGA_LAMBDA: f64 = 1.0 - OMEGA_MATTER;
/// Speed of light, km/s.
pub(super) const LIGHT_KM_S: f64 = 299_792.458;
/// 1/H0 in Gyr times H0 in km/s/Mpc.
const GYR_KM_S_MPC: f64 = 977.8;

/// Comoving distance to redshift `z`, Mpc (Simpson's rule, 64 intervals).
fn comoving_distance(z: f64) -> f64 {
    const INTERVALS: usize = 64;
    let step = z / INTERVALS as f64;
    let inverse_rate = |z: f64| 1.0 / (OMEGA_MATTER * (1.0 + z).powi(3) + OMEGA_LAMBDA).sqrt();
    let sum: f64 = (0..=INTERVALS)
        .map(|i| {
            let weight = match i {
                0 | INTERVALS => 1.0,
                _ if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * inverse_rate(i as f64 * step)
        })
        .sum();
    LIGHT_KM_S / HUBBLE * sum * step / 3.0
}

/// Luminosity distance, Mpc.
pub(super) fn luminosity_distance(z: f64) -> f64 {
    (1.0 + z) * comoving_distance(z)
}

/// Kiloparsecs in an arcsecond at redshift `z`.
pub(super) fn kpc_per_arcsec(z: f64) -> f64 {
    comoving_distance(z) / (1.0 + z) * 1000.0 / 206_264.806
}

/// Age of the universe at redshift `z`, Gyr.
pub(super) fn age(z: f64) -> f64 {
    let ratio = (OMEGA_LAMBDA / OMEGA_MATTER).sqrt() * (1.0 + z).powf(-1.5);
    2.0 / 3.0 * GYR_KM_S_MPC / HUBBLE / OMEGA_LAMBDA.sqrt() * ratio.asinh()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_tabulated_distances() {
        for (z, distance) in [(0.1, 460.3), (0.5, 2832.9), (1.0, 6607.7)] {
            let ours = luminosity_distance(z);
            assert!((ours / distance - 1.0).abs() < 1e-3, "{z}: {ours}");
        }
        assert!((age(0.0) - 13.47).abs() < 0.02);
        assert!((kpc_per_arcsec(0.3) - 4.454).abs() < 0.02);
    }
}
