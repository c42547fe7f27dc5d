//! Why a certification path does not hold: a closed list of names for logs, metrics and the command line.

use std::fmt;

use thiserror::Error;
use x509_parser::prelude::X509Certificate;

/// Why a path does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum PathReason {
    /// A certificate cannot be parsed, or breaks a rule of RFC 5280 on its form.
    #[error("malformed")]
    Malformed,
    /// More certificates, or larger ones, than any real path has.
    #[error("too_large")]
    TooLarge,
    /// The path leads to no trust anchor.
    #[error("unknown_issuer")]
    UnknownIssuer,
    /// The end entity came alone and no trust anchor issued it.
    #[error("missing_intermediate")]
    MissingIntermediate,
    /// A certificate of the path, or its anchor, has expired.
    #[error("expired")]
    Expired,
    /// A certificate of the path, or its anchor, is not valid yet.
    #[error("not_yet_valid")]
    NotYetValid,
    /// A certificate may not be used for client authentication (extendedKeyUsage).
    #[error("wrong_purpose")]
    WrongPurpose,
    /// The keyUsage of a certificate does not admit what the path makes of it.
    #[error("key_usage")]
    KeyUsage,
    /// An RSA key of fewer than 2048 bits, or a key of another kind than RSA and ECDSA.
    #[error("weak_key")]
    WeakKey,
    /// A signature by an algorithm that is not accepted, such as SHA-1.
    #[error("weak_signature")]
    WeakSignature,
    /// A signature that does not verify.
    #[error("bad_signature")]
    BadSignature,
    /// A certificate that is no authority issued another one.
    #[error("not_an_authority")]
    NotAnAuthority,
    /// The end entity is an authority.
    #[error("is_an_authority")]
    IsAnAuthority,
    /// More authorities than a pathLenConstraint admits.
    #[error("path_length")]
    PathLength,
    /// A name that a nameConstraints extension excludes.
    #[error("name_constraints")]
    NameConstraints,
    /// A critical extension that is not understood.
    #[error("unknown_extension")]
    UnknownExtension,
    /// A certificate was revoked.
    #[error("revoked")]
    Revoked,
    /// No revocation list covers a certificate.
    #[error("crl_missing")]
    CrlMissing,
    /// The revocation list that covers a certificate is past its nextUpdate.
    #[error("crl_expired")]
    CrlExpired,
    /// The revocation list that covers a certificate was not signed by its issuer.
    #[error("crl_invalid")]
    CrlInvalid,
}

impl PathReason {
    /// What webpki's verdict means.
    pub(super) fn of(error: &webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { .. } => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::UnknownIssuer => Self::UnknownIssuer,
            E::CaUsedAsEndEntity => Self::IsAnAuthority,
            E::EndEntityUsedAsCa => Self::NotAnAuthority,
            E::InvalidSignatureForPublicKey => Self::BadSignature,
            E::NameConstraintViolation => Self::NameConstraints,
            E::PathLenConstraintViolated => Self::PathLength,
            E::UnsupportedCriticalExtension => Self::UnknownExtension,
            E::EmptyEkuExtension | E::RequiredEkuNotFoundContext(_) => Self::WrongPurpose,
            E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::WeakSignature,
            E::MaximumPathBuildCallsExceeded
            | E::MaximumPathDepthExceeded
            | E::MaximumSignatureChecksExceeded
            | E::MaximumNameConstraintComparisonsExceeded => Self::TooLarge,
            // The enumeration may grow; whatever else is wrong with a certificate is its form.
            _ => Self::Malformed,
        }
    }
}

/// A path that does not hold, and the certificate at fault as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct PathFault {
    /// Why.
    pub reason: PathReason,
    /// Which.
    pub certificate: Option<Culprit>,
}

/// What the log says of a certificate at fault: enough to find it, without what identifies a person or
/// a company beyond its directory id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// commonName and organizationIdentifier of the subject.
    pub subject: String,
    /// The issuer's name.
    pub issuer: String,
    /// The serial number in hexadecimal.
    pub serial: String,
}

/// Characters of a name that are logged.
const LONGEST: usize = 200;

impl Culprit {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let cut = |text: String| text.chars().take(LONGEST).collect();
        let named = [super::subject::COMMON_NAME, super::subject::ORGANISATION_IDENTIFIER];
        let subject: Vec<&str> = certificate
            .subject()
            .iter_attributes()
            .filter(|attribute| named.contains(attribute.attr_type()))
            .filter_map(|attribute| attribute.as_str().ok())
            .collect();
        Self {
            subject: cut(subject.join(", ")),
            issuer: cut(certificate.issuer().to_string()),
            serial: cut(certificate.raw_serial_as_string()),
        }
    }
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial {} of {}", self.serial, self.issuer)
    }
}

impl From<PathReason> for PathFault {
    fn from(reason: PathReason) -> Self {
        Self { reason, certificate: None }
    }
}
