//! The services of each survey, one file a survey: what is asked of them for a target, and how their
//! answers become files that the readers take. The only place of this crate that names columns.

mod desi;
mod gaia;
mod hsc;
mod legacy;
mod rows;
mod sdss;

use std::sync::Mutex;

use aion_data::{Object, Survey};

use crate::answer::Answer;
use crate::check::Near;
use crate::client::{Client, Credentials, Question};
use crate::error::FetchError;
use crate::gate::locked;
use crate::services::Services;
use crate::staging::Staging;
use crate::target::{Sought, Target};

/// What a service needs to fetch one target.
pub struct Context<'a> {
    /// The client of the whole run.
    pub client: &'a Client,
    /// End points.
    pub services: &'a Services,
    /// An account, where the user has one.
    pub credentials: Option<&'a Credentials>,
    /// How far from a position an object may be, arcsec.
    pub radius: f64,
    /// Where files go until they are good.
    pub staging: &'a Staging,
    /// Addresses asked so far.
    pub addresses: Mutex<Vec<String>>,
}

impl Context<'_> {
    /// Asks, and notes the address.
    ///
    /// # Errors
    /// See [`Client::ask`].
    pub fn ask(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        locked(&self.addresses).push(question.address.clone());
        self.client.ask(question)
    }

    /// Where the object should be, give or take `slack` arcsec; nothing is known of one sought by
    /// its identifier.
    fn near(&self, target: &Target, slack: f64) -> Option<Near> {
        match target.sought {
            Sought::Position { ra, dec } => Some(Near {
                position: (ra, dec),
                tolerance: self.radius + slack,
            }),
            Sought::Identifier(_) => None,
        }
    }

    /// The error of a survey that has no such thing, a spectrum or a source.
    fn absent(&self, target: &Target, what: &str) -> FetchError {
        FetchError::Absent(match &target.sought {
            Sought::Position { .. } => format!("no {what} within {} arcsec", self.radius),
            Sought::Identifier(identifier) => format!("there is no {what} {identifier}"),
        })
    }
}

/// Fails unless the object is the one that was asked for.
///
/// # Errors
/// [`FetchError::Unexpected`].
fn expect_object(object: &Object, expected: &str) -> Result<(), FetchError> {
    if object.id == expected {
        return Ok(());
    }
    let found = &object.id;
    let reason = format!("asked for {expected}, got {found}");
    Err(FetchError::Unexpected(reason))
}

/// What came: files in the staging folder, and what the reader calls the object in them.
#[derive(Debug)]
pub struct Found {
    /// File names.
    pub files: Vec<String>,
    /// The object's identifier.
    pub object: String,
}

/// Fetches a target into the staging folder.
///
/// # Errors
/// See [`FetchError`].
pub fn fetch(survey: Survey, target: &Target, context: &Context) -> Result<Found, FetchError> {
    match survey {
        Survey::LegacySurvey => legacy::fetch(target, context),
        Survey::Hsc => hsc::fetch(target, context),
        Survey::Sdss => sdss::fetch(target, context),
        Survey::Desi => desi::fetch(target, context),
        Survey::Gaia => gaia::fetch(target, context),
        Survey::Any | Survey::Described(_) => {
            Err(FetchError::Target(format!("no service serves {survey}")))
        }
    }
}

/// Whether a survey's services find objects by its own identifiers, and so within a radius of a
/// position too; the others cut images out around any position.
pub fn takes_identifiers(survey: Survey) -> bool {
    matches!(survey, Survey::Sdss | Survey::Desi | Survey::Gaia)
}

/// Everything that the content of the answer depends on, in one line: a target whose line changes is
/// fetched again. The host is left out, so that a mirror serves as well.
pub fn asked(survey: Survey, target: &Target, services: &Services, radius: f64) -> String {
    let sought = match &target.sought {
        Sought::Position { ra, dec } if takes_identifiers(survey) => {
            format!("nearest to ra {ra} dec {dec} within {radius} arcsec")
        }
        Sought::Position { ra, dec } => format!("around ra {ra} dec {dec}"),
        Sought::Identifier(identifier) => identifier.clone(),
    };
    let release = match survey {
        Survey::LegacySurvey => legacy::release(&services.legacy),
        Survey::Hsc => hsc::release(&services.hsc),
        Survey::Sdss => sdss::release(&services.sdss),
        Survey::Desi => services.desi.release.clone(),
        Survey::Gaia => format!("{}, {}", services.gaia.release, services.gaia.table),
        Survey::Any | Survey::Described(_) => String::new(),
    };
    format!("{sought}; {release}")
}
