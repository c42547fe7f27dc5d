//! The words of configurations and policies, and what each of them means.
//!
//! A word stands here and nowhere else: the parser, its complaints, the schema and the reference have it from here.

use tracing::level_filters::LevelFilter;

use crate::consent::preset::Consumption;
use crate::consent::{ConsentKind, ConsentPreset, ConsentSource, ConsentUse, Lapse};
use crate::headers::caller::ForwardedCertificate;
use crate::identity::{Level, Preset};
use crate::interaction::{Attempt, Form, Unusable};
use crate::request::media::Media;
use crate::route::{ErrorForm, Exposure, PriorityClass};
use crate::terms::MissingExpiration;
use crate::terms::permission::Renamed;
use crate::token::{GrantRule, ParticipantRule};

/// What a word of a configuration can mean.
pub trait Keyword: Copy + PartialEq + 'static {
    /// All words, in the order in which they are told.
    const WORDS: &'static [(&'static str, Self)];

    /// What a word means.
    fn parse(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
    }

    /// The word that means this.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, meaning)| *meaning == self).map_or("", |(word, _)| word)
    }
}

/// A word that a key has where nothing is said.
pub trait DefaultKeyword: Keyword {
    /// It.
    const DEFAULT: Self;
}

impl Keyword for Exposure {
    const WORDS: &'static [(&'static str, Self)] =
        &[("required", Self::Mutual), ("none", Self::Public)];
}

impl Keyword for Preset {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::OpinProduction.name(), Self::OpinProduction),
        (Self::OpinSandbox.name(), Self::OpinSandbox),
        (Self::OfbProduction.name(), Self::OfbProduction),
        (Self::OfbSandbox.name(), Self::OfbSandbox),
    ];
}

impl DefaultKeyword for Preset {
    const DEFAULT: Self = Self::OpinProduction;
}

impl Keyword for Level {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::Enforce.name(), Self::Enforce),
        (Self::Warn.name(), Self::Warn),
        (Self::Off.name(), Self::Off),
    ];
}

impl Keyword for ForwardedCertificate {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::Nothing), ("end_entity", Self::EndEntity), ("chain", Self::Chain)];
}

impl DefaultKeyword for ForwardedCertificate {
    const DEFAULT: Self = Self::Nothing;
}

impl Keyword for GrantRule {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("consent_or_subject", Self::ConsentOrSubject),
        ("subject_present", Self::SubjectPresent),
        ("consent", Self::Consent),
    ];
}

impl DefaultKeyword for GrantRule {
    const DEFAULT: Self = Self::ConsentOrSubject;
}

impl Keyword for ParticipantRule {
    const WORDS: &'static [(&'static str, Self)] =
        &[("ignore", Self::Ignore), ("if_present", Self::IfPresent), ("require", Self::Require)];
}

impl DefaultKeyword for ParticipantRule {
    const DEFAULT: Self = Self::Ignore;
}

impl Keyword for ConsentSource {
    const WORDS: &'static [(&'static str, Self)] =
        &[("registry", Self::Registry), ("token", Self::Token)];
}

impl DefaultKeyword for ConsentSource {
    const DEFAULT: Self = Self::Registry;
}

impl Keyword for ConsentPreset {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::OpinV2.name(), Self::OpinV2),
        (Self::OpinV3.name(), Self::OpinV3),
        (Self::Ofb.name(), Self::Ofb),
    ];
}

impl DefaultKeyword for ConsentPreset {
    const DEFAULT: Self = Self::OpinV3;
}

impl Keyword for Consumption {
    const WORDS: &'static [(&'static str, Self)] =
        &[("201_or_422", Self::CreatedOrDeclined), ("201", Self::Created), ("never", Self::Never)];
}

impl Keyword for Renamed {
    const WORDS: &'static [(&'static str, Self)] =
        &[("accept", Self::Accept), ("refuse", Self::Refuse)];
}

impl Keyword for Lapse {
    const WORDS: &'static [(&'static str, Self)] =
        &[("insufficient_scope", Self::InsufficientScope), ("invalid_token", Self::InvalidToken)];
}

impl Keyword for MissingExpiration {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("never_expires", Self::NeverExpires)];
}

impl Keyword for LevelFilter {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
    ];
}

impl DefaultKeyword for LevelFilter {
    const DEFAULT: Self = Self::INFO;
}

impl Keyword for PriorityClass {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::High.as_str(), Self::High),
        (Self::Medium.as_str(), Self::Medium),
        (Self::Admin.as_str(), Self::Admin),
    ];
}

impl Keyword for Form {
    const WORDS: &'static [(&'static str, Self)] =
        &[("uuid", Self::Uuid), ("alphanumeric", Self::Alphanumeric)];
}

impl Keyword for Unusable {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("mint", Self::Mint)];
}

impl Keyword for Attempt {
    const WORDS: &'static [(&'static str, Self)] =
        &[(Self::Callback.name(), Self::Callback), (Self::Webhook.name(), Self::Webhook)];
}

/// An event of the registry is a JWS, of which no policy speaks.
impl Keyword for Media {
    const WORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("form", Self::Form)];
}

impl DefaultKeyword for Media {
    const DEFAULT: Self = Self::Json;
}

impl Keyword for ConsentUse {
    const WORDS: &'static [(&'static str, Self)] =
        &[("read", Self::Read), ("initiate", Self::Initiate)];
}

impl Keyword for ConsentKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("consent", Self::Consent), ("enrollment", Self::Enrollment)];
}

impl DefaultKeyword for ConsentKind {
    const DEFAULT: Self = Self::Consent;
}

impl Keyword for ErrorForm {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::Common.as_str(), Self::Common),
        (Self::Closed.as_str(), Self::Closed),
        (Self::Object.as_str(), Self::Object),
        (Self::DatedMeta.as_str(), Self::DatedMeta),
        (Self::Misspelt.as_str(), Self::Misspelt),
    ];
}

impl DefaultKeyword for ErrorForm {
    const DEFAULT: Self = Self::Common;
}
