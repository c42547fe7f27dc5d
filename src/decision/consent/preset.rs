//! The rules of an ecosystem's consents: a preset decides all of them, single settings some.
//!
//! What an ecosystem's consents are stands in its pack ([`crate::packs`]). The two versions of OPIN agree in everything
//! that is decided here; each accepts the other's names of permissions, because consents of both live side by side.

use std::time::Duration;

use super::ConsentUse;
use crate::packs::{OFB, OPIN, Pack};
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

    /// The ecosystem.
    fn pack(self) -> Pack {
        match self {
            Self::OpinV2 | Self::OpinV3 => OPIN,
            Self::Ofb => OFB,
        }
    }

    /// Its rules.
    pub fn rules(self) -> ConsentRules {
        let facts = self.pack().consents;
        ConsentRules {
            authorisation_window: Some(facts.authorisation_window),
            consumption: match facts.are_consumed {
                true => Consumption::CreatedOrDeclined,
                false => Consumption::Never,
            },
            renamed: match facts.renamed_permissions {
                [] => Renamed::Refuse,
                _ => Renamed::Accept,
            },
            initiation_lapse: match facts.lapse_leaves_the_token {
                true => Lapse::InsufficientScope,
                false => Lapse::InvalidToken,
            },
        }
    }

    /// Where descriptions name the consent that shares their fate, as a JSON pointer.
    pub fn linked_member(self) -> Option<&'static str> {
        self.pack().consents.linked_member
    }

    /// How long access tokens live at most.
    pub fn longest_token_lifetime(self) -> Duration {
        self.pack().tokens.longest_lifetime
    }

    /// What it makes of a consent without expiration.
    pub fn missing_expiration(self) -> MissingExpiration {
        match self.pack().consents.always_end {
            true => MissingExpiration::Refuse,
            false => MissingExpiration::NeverExpires,
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
