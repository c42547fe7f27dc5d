//! The rules of an ecosystem's consents: a preset decides all of them, single settings some.
//!
//! Sources: OPIN consents API 2.7.0 and 3.0.0 and the state machines of OPIN; Open Finance Brasil, guide of
//! the consents API (60 minutes, no CONSUMED, consents without end) and FAPI profile 7.2.2. The two
//! versions of OPIN agree in everything that is decided here; each accepts the other's names of
//! permissions, because consents of both live side by side.

use std::time::Duration;

use super::ConsentUse;
use crate::terms::permission::Renamed;
use crate::terms::{MissingExpiration, States};

/// An ecosystem and the version of its consents API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsentPreset {
    /// Open Insurance Brasil, consents version 2.
    OpinV2,
    /// Open Insurance Brasil, consents version 3.
    #[default]
    OpinV3,
    /// Open Finance Brasil.
    Ofb,
}

/// What a consent that is not in force makes of the request under it, in the terms of RFC 6750.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// The token is worth nothing any more.
    InvalidToken,
    /// The token does not reach so far.
    InsufficientScope,
}

/// After which answer of the backend an initiation has consumed its consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumption {
    /// Created (201), or understood and declined (422).
    CreatedOrDeclined,
    /// Created (201).
    Created,
    /// None: there is no state CONSUMED.
    Never,
}

/// The rules that consents are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentRules {
    /// For how long a consent may await its confirmation.
    pub authorisation_window: Option<Duration>,
    /// What consumes a consent.
    pub consumption: Consumption,
    /// Whether permissions may bear the name of the other version.
    pub renamed: Renamed,
    /// What an initiation under a consent that is not in force is told. A read is always told that
    /// its token is invalid.
    pub initiation_lapse: Lapse,
}

const ONE_HOUR: Duration = Duration::from_secs(3600);

impl ConsentPreset {
    /// Every preset.
    pub const ALL: [Self; 3] = [Self::OpinV2, Self::OpinV3, Self::Ofb];

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpinV2 => "opin-v2",
            Self::OpinV3 => "opin-v3",
            Self::Ofb => "ofb",
        }
    }

    /// Its rules.
    pub fn rules(self) -> ConsentRules {
        match self {
            Self::OpinV2 | Self::OpinV3 => ConsentRules {
                authorisation_window: Some(ONE_HOUR),
                consumption: Consumption::CreatedOrDeclined,
                renamed: Renamed::Accept,
                initiation_lapse: Lapse::InsufficientScope,
            },
            Self::Ofb => ConsentRules {
                authorisation_window: Some(ONE_HOUR),
                consumption: Consumption::Never,
                renamed: Renamed::Refuse,
                initiation_lapse: Lapse::InvalidToken,
            },
        }
    }

    /// Where descriptions name the consent that shares their fate, as a JSON pointer.
    pub fn linked_member(self) -> Option<&'static str> {
        match self {
            Self::OpinV2 | Self::OpinV3 => None,
            Self::Ofb => Some("/data/journey/linkId"),
        }
    }

    /// How long access tokens live at most: the FAPI profile of Open Banking Brasil, 5.2.2 item 13 (300 to 900
    /// seconds), which OPIN took over.
    pub fn longest_token_lifetime(self) -> Duration {
        match self {
            Self::OpinV2 | Self::OpinV3 | Self::Ofb => Duration::from_secs(900),
        }
    }

    /// What it makes of a consent without expiration.
    pub fn missing_expiration(self) -> MissingExpiration {
        match self {
            Self::OpinV2 | Self::OpinV3 => MissingExpiration::Refuse,
            Self::Ofb => MissingExpiration::NeverExpires,
        }
    }
}

impl ConsentRules {
    /// The states that there are.
    pub fn states(&self) -> States {
        States { consumed: self.consumption != Consumption::Never }
    }

    pub(super) fn lapse(&self, to: ConsentUse) -> Lapse {
        match to {
            ConsentUse::Read => Lapse::InvalidToken,
            ConsentUse::Initiate => self.initiation_lapse,
        }
    }
}
