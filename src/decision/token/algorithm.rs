//! The algorithms that may sign a token (RFC 7518 section 3.1).
//!
//! An allow-list: the ecosystem's profile has PS256 alone (Open Banking Brasil FAPI profile 6.1.1), others
//! of the FAPI profiles can be configured. Nothing symmetric is among them, nor RSASSA-PKCS1-v1_5, nor
//! `none`: no configuration can admit what the profiles forbid.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, KeyAlgorithm};

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ps256, Self::Ps384, Self::Ps512, Self::Es256];

    /// The algorithm of a name, which is case-sensitive (RFC 7515 section 4.1.1).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
        }
    }

    /// Whether a key of these parameters, declared for `declared` or for nothing in particular, is one of
    /// this algorithm.
    pub(super) fn suits(self, key: &AlgorithmParameters, declared: Option<KeyAlgorithm>) -> bool {
        let of_its_kind = match (self, key) {
            (Self::Ps256 | Self::Ps384 | Self::Ps512, AlgorithmParameters::RSA(_)) => true,
            (Self::Es256, AlgorithmParameters::EllipticCurve(key)) => {
                key.curve == EllipticCurve::P256
            }
            // Keys of other types, symmetric ones among them: a set is public, and whoever reads one could
            // sign.
            _ => false,
        };
        // RFC 7517 section 4.4: `alg` is optional, but a key that has one is for nothing else.
        of_its_kind && declared.is_none_or(|declared| declared == self.library().into())
    }

    /// Its name in the library that verifies.
    pub(super) fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
        }
    }
}
