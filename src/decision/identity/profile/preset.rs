//! The profiles that exist, one for each ecosystem and environment.

use super::{Level, Levels, Profile, Rule};
use crate::packs::{OFB, OPIN};

/// A profile by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Open Insurance Brasil, certificates of ICP-Brasil.
    OpinProduction,
    /// Open Insurance Brasil, certificates of the directory's sandbox.
    OpinSandbox,
    /// Open Finance Brasil, certificates of ICP-Brasil.
    OfbProduction,
    /// Open Finance Brasil, certificates of the directory's sandbox.
    OfbSandbox,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] =
        [Self::OpinProduction, Self::OpinSandbox, Self::OfbProduction, Self::OfbSandbox];

    /// Its name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpinProduction => "opin-production",
            Self::OpinSandbox => "opin-sandbox",
            Self::OfbProduction => "ofb-production",
            Self::OfbSandbox => "ofb-sandbox",
        }
    }

    /// The preset of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// What it asks.
    pub fn profile(self) -> Profile {
        let facts = match self {
            Self::OpinProduction | Self::OpinSandbox => OPIN.certificates,
            Self::OfbProduction | Self::OfbSandbox => OFB.certificates,
        };
        let (issuer, levels) = match self {
            Self::OpinProduction | Self::OfbProduction => (facts.production_issuer, production()),
            Self::OpinSandbox | Self::OfbSandbox => (facts.sandbox_issuer, sandbox()),
        };
        Profile {
            organisation_prefixes: vec![facts.organisation_prefix.to_owned()],
            issuer_organisation: issuer.to_owned(),
            longest_validity: facts.longest_validity,
            levels,
        }
    }
}

/// Enforces what the standards say in so many words. Warns of what they leave open or contradict
/// themselves in, and of names that nothing is decided by.
fn production() -> Levels {
    Levels::all(Level::Enforce)
        .with(Rule::Names, Level::Warn)
        .with(Rule::CommonName, Level::Warn)
        // The standard asks for it; client certificates of MockOPIN lack it.
        .with(Rule::KeyEncipherment, Level::Warn)
        .with(Rule::Validity, Level::Warn)
}

/// Test certificates have test data (samples say jurisdiction UK, and URLs for hosts): what tells one
/// participant and one environment from another is enforced.
fn sandbox() -> Levels {
    Levels::all(Level::Warn)
        .with(Rule::OrganisationId, Level::Enforce)
        .with(Rule::SoftwareStatementId, Level::Enforce)
        .with(Rule::KeyType, Level::Enforce)
        .with(Rule::Issuer, Level::Enforce)
}
