//! Where the services are and how politely they are asked: the built-in `services.toml`, and a
//! user's file laid over it.

use aion_data::Survey;
use serde::Deserialize;
use toml::{Table, Value};

use crate::error::FetchError;

/// The settings that every user has; the file explains each.
const BUILT_IN: &str = include_str!("services.toml");

/// End points, releases and limits; `services.toml` in this crate explains each key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    pub(crate) politeness: Politeness,
    pub(crate) legacy: Legacy,
    pub(crate) hsc: Hsc,
    pub(crate) sdss: Sdss,
    pub(crate) desi: Desi,
    pub(crate) gaia: Gaia,
}

/// How often and how long a host is asked. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Politeness {
    pub per_host: usize,
    pub interval_s: f64,
    pub attempts: u32,
    pub backoff_s: f64,
    pub longest_wait_s: f64,
    pub connect_s: f64,
    pub response_s: f64,
    pub whole_s: f64,
    pub most_mb: u64,
    pub contact: String,
}

/// The Legacy Surveys' viewer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Legacy {
    pub cutout: String,
    pub layer: String,
    pub bands: String,
    pub pixel_scale: f64,
    pub size: u32,
    pub acknowledgement: String,
}

/// HSC's data archive system.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hsc {
    pub cutout: String,
    pub rerun: String,
    pub filters: Vec<String>,
    pub half_size_arcsec: f64,
    pub acknowledgement: String,
}

/// SkyServer and the science archive server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sdss {
    pub query: String,
    pub spectrum: String,
    pub sdss_reductions: Vec<String>,
    pub acknowledgement: String,
}

/// SPARCL.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Desi {
    pub find: String,
    pub retrieve: String,
    pub release: String,
    pub acknowledgement: String,
}

/// The Gaia archive.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gaia {
    pub tap: String,
    pub table: String,
    pub datalink: String,
    pub release: String,
    pub acknowledgement: String,
}

impl Services {
    /// The surveys' own services.
    ///
    /// # Errors
    /// [`FetchError::Settings`], which the tests exclude for the built-in file.
    pub fn built_in() -> Result<Self, FetchError> {
        Self::with("")
    }

    /// The surveys' own services, with the keys of `text`, TOML of the same layout, instead.
    ///
    /// # Errors
    /// [`FetchError::Settings`] with the key: not TOML, an unknown key, a value of another type or
    /// out of range, an address that is no http(s) address.
    pub fn with(text: &str) -> Result<Self, FetchError> {
        let settings = |reason: String| FetchError::Settings(reason);
        let parse = |text: &str| -> Result<Table, FetchError> {
            toml::from_str(text).map_err(|error| settings(error.to_string()))
        };
        let mut table = parse(BUILT_IN)?;
        lay_over(&mut table, parse(text)?);
        let services: Services = Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| settings(error.to_string()))?;
        services.check().map_err(settings)?;
        Ok(services)
    }

    /// How a survey wants to be acknowledged; empty for no one survey.
    pub fn acknowledgement(&self, survey: Survey) -> &str {
        match survey {
            Survey::LegacySurvey => &self.legacy.acknowledgement,
            Survey::Hsc => &self.hsc.acknowledgement,
            Survey::Sdss => &self.sdss.acknowledgement,
            Survey::Desi => &self.desi.acknowledgement,
            Survey::Gaia => &self.gaia.acknowledgement,
            Survey::Any | Survey::Described(_) => "",
        }
    }

    fn check(&self) -> Result<(), String> {
        let polite = &self.politeness;
        let times = [
            ("interval_s", polite.interval_s, 0.0),
            ("backoff_s", polite.backoff_s, 0.0),
            ("longest_wait_s", polite.longest_wait_s, 0.0),
            ("connect_s", polite.connect_s, 1e-3),
            ("response_s", polite.response_s, 1e-3),
            ("whole_s", polite.whole_s, 1e-3),
        ];
        for (name, value, least) in times {
            if !(least..=86_400.0).contains(&value) {
                return Err(format!(
                    "politeness.{name} is {value}, expected {least} to 86400 seconds"
                ));
            }
        }
        if polite.per_host == 0 || polite.attempts == 0 || !(1..=16_384).contains(&polite.most_mb) {
            return Err(
                "politeness.per_host and attempts must be at least 1, most_mb 1 to 16384".into(),
            );
        }
        // The user agent is a header: one line of plain characters.
        if !polite.contact.chars().all(|c| (' '..='~').contains(&c)) {
            return Err("politeness.contact must be one line of ASCII".into());
        }
        let addresses = [
            ("legacy.cutout", &self.legacy.cutout),
            ("hsc.cutout", &self.hsc.cutout),
            ("sdss.query", &self.sdss.query),
            ("sdss.spectrum", &self.sdss.spectrum),
            ("desi.find", &self.desi.find),
            ("desi.retrieve", &self.desi.retrieve),
            ("gaia.tap", &self.gaia.tap),
            ("gaia.datalink", &self.gaia.datalink),
        ];
        for (name, address) in addresses {
            if !(address.starts_with("https://") || address.starts_with("http://")) {
                return Err(format!(
                    "{name} is `{address}`, expected an address beginning with https://"
                ));
            }
            if address.contains('@') {
                return Err(format!(
                    "{name} holds a user name or password; expected the address alone"
                ));
            }
        }
        Ok(())
    }
}

/// Replaces single keys of `under`, tables key by key.
fn lay_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => lay_over(inner, value),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_settings_hold() {
        let services = Services::built_in().expect("settings");
        assert_eq!(services.politeness.per_host, 2);
        assert_eq!(services.legacy.layer, "ls-dr10");
    }

    #[test]
    fn single_keys_are_replaced() {
        let services = Services::with("[legacy]\nlayer = \"ls-dr9\"\n").expect("settings");
        assert_eq!(services.legacy.layer, "ls-dr9");
        assert_eq!(services.legacy.bands, "griz");
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        for (text, name) in [
            ("[legacy]\nlayers = \"x\"\n", "layers"),
            ("[politeness]\nper_host = 0\n", "per_host"),
            ("[politeness]\nattempts = \"x\"\n", "attempts"),
            ("[politeness]\nwhole_s = inf\n", "whole_s"),
            ("[gaia]\ntap = \"file:///etc\"\n", "gaia.tap"),
            ("[hsc]\ncutout = \"https://me:secret@x\"\n", "hsc.cutout"),
            ("[politeness]\ncontact = \"a\\nb\"\n", "contact"),
            ("[vla]\nx = 1\n", "vla"),
            ("[legacy", "legacy"),
        ] {
            let error = Services::with(text).expect_err(text).to_string();
            assert!(error.contains(name), "{error}");
        }
        let error =
            Services::with("[hsc]\ncutout = \"https://me:secret@x\"\n").expect_err("refused");
        assert!(!error.to_string().contains("secret"));
    }
}
