//! Why a certification path does not hold: a closed list of names for logs, metrics and the command line.

use std::fmt;

use thiserror::Error;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::X509Name;

/// An enumeration that knows its variants, so that whoever has to treat each of them can be held to it.
macro_rules! closed_list {
    ($(#[$of_all:meta])* pub enum $name:ident { $($(#[$of_one:meta])* $variant:ident,)+ }) => {
        $(#[$of_all])*
        pub enum $name {
            $($(#[$of_one])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
        }
    };
}

closed_list! {
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

/// What the log says of a certificate at fault: enough to find it, and nothing that identifies a person or,
/// beyond its directory id, a company. Names of ICP-Brasil's personal certificates end in a CPF or CNPJ.
#[derive(Clone, PartialEq, Eq)]
pub struct Culprit {
    /// organizationIdentifier, and the commonName if it is a host's.
    pub subject: String,
    /// The issuer's commonName, if it is another's and no digits identify somebody.
    pub issuer: String,
    /// The serial number in hexadecimal.
    pub serial: String,
}

/// Characters of a name that are logged.
const LONGEST: usize = 200;
/// Digits in a row, punctuation aside, of which a name may have fewer: a CPF has eleven.
const DIGITS_OF_A_PERSON: usize = 11;

impl Culprit {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        // Characters, not bytes: a cut within one would be no text.
        let cut = |text: String| text.chars().take(LONGEST).collect();
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        // A wildcard or a host identifies nobody; anything else in CN may be a person with a CPF.
        let host = attribute(subject, &super::subject::COMMON_NAME).filter(|name| is_host(name));
        let organisation = attribute(subject, &super::subject::ORGANISATION_IDENTIFIER);
        let told: Vec<&str> =
            host.into_iter().chain(organisation.filter(|id| !may_identify_a_person(id))).collect();
        let issued_by = attribute(issuer, &super::subject::COMMON_NAME)
            .filter(|name| subject.as_raw() != issuer.as_raw() && !may_identify_a_person(name));
        Self {
            subject: cut(told.join(", ")),
            issuer: cut(issued_by.unwrap_or_default().to_owned()),
            serial: cut(certificate.raw_serial_as_string()),
        }
    }
}

fn attribute<'a>(name: &'a X509Name<'_>, oid: &Oid<'_>) -> Option<&'a str> {
    name.iter_attributes().find(|attribute| attribute.attr_type() == oid)?.as_str().ok()
}

fn is_host(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-*".contains(&b);
    name.contains('.') && name.bytes().all(plain) && !may_identify_a_person(name)
}

fn may_identify_a_person(text: &str) -> bool {
    let mut digits = 0;
    text.chars().any(|c| {
        digits = match c {
            c if c.is_ascii_digit() => digits + 1,
            '.' | '-' | '/' | ' ' => digits,
            _ => 0,
        };
        digits >= DIGITS_OF_A_PERSON
    })
}

impl fmt::Debug for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Culprit(..)")
    }
}

impl From<PathReason> for PathFault {
    fn from(reason: PathReason) -> Self {
        Self { reason, certificate: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_identifies_a_person_is_told() {
        for personal in ["JOAO DA SILVA:12345678901", "123.456.789-01", "X 12.345.678/0001-99"] {
            assert!(may_identify_a_person(personal), "{personal}");
            assert!(!is_host(personal));
        }
        for known in ["OPIBR-d7384bd0-842f-43c5-be02-9d2b2d5efc2c", "AC SERPRO SSLv1"] {
            assert!(!may_identify_a_person(known), "{known}");
        }
        assert!(is_host("*.tpp.example") && !is_host("JOAO DA SILVA"));
    }
}
