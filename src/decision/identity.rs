//! Who is on the other end of a connection.
//!
//! Takes a verified certification path; gives a [`Participant`], read once per connection and kept
//! with it. Refuses a path that does not lead to a trust anchor ([`path`]), a subject that does not
//! name one organisation and one software statement, a certificate that breaks what its ecosystem asks of
//! it ([`profile`]) and, at every request, a
//! certificate whose validity has ended since the handshake.
//!
//! Standards: RFC 5280 (paths), RFC 8705 section 3.1 (thumbprint), OPIN certificate standard 5.2.2.1
//! (subject attributes). Leaves to others: the TLS handshake (`listener`), the comparison of a
//! token's confirmation with the thumbprint (`token::binding`).

mod epoch;
pub mod anchors;
mod form;
pub mod name;
pub mod path;
pub mod pem;
mod certificate_fields;
pub mod profile;
pub mod reason;
pub mod revocation;
pub mod signature;
mod trust;
pub mod verifier;
mod subject;
pub mod thumbprint;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::moment::Moment;
pub use anchors::{AnchorError, TrustAnchors};
pub use certificate_fields::CertificateFields;
pub use name::Name;
pub use path::{PathRules, PathVerifier, Purpose, VerifiedPath};
pub use profile::{Finding, Level, Preset, Profile, Rule};
pub use reason::{Culprit, PathFault, PathReason};
pub use revocation::{
    FetchedList, Leniency, ListFault, ListIssuers, ListMisfit, Revocation, RevocationList,
};
pub use thumbprint::Thumbprint;
use trust::WatchedChain;
pub use trust::{FindingWitness, Trust, TrustDomain};
pub use verifier::ClientVerifier;

/// The directory's id of an organisation: `organizationIdentifier` without its ecosystem prefix.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OrganisationId(HeaderValue);

/// The directory's id of a software statement: the subject's `UID`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SoftwareStatementId(HeaderValue);

macro_rules! directory_id {
    ($name:ident) => {
        impl $name {
            /// Accepts 1 to 64 letters, digits and hyphens, so that the id can stand in a field
            /// value and in a log as it is.
            pub fn new(text: &str) -> Option<Self> {
                // Nothing that a backend's or a log's reader could take for a separator; UUIDs have 36.
                let fits = (1..=64).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                if fits { HeaderValue::from_str(text).ok().map(Self) } else { None }
            }

            /// The id as a field value: cloning it copies no bytes.
            pub fn as_value(&self) -> &HeaderValue {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

directory_id!(OrganisationId);
directory_id!(SoftwareStatementId);

/// Why a connection's certificate identifies nobody.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The certificate cannot be parsed (the handshake library accepted its signature, not its form).
    #[error("the client certificate cannot be parsed")]
    Unreadable,
    /// No organizationIdentifier with an accepted prefix, or more than one.
    #[error(
        "the subject names no single organizationIdentifier (2.5.4.97) with an accepted prefix"
    )]
    Organisation,
    /// No UID, or more than one.
    #[error("the subject names no single UID (0.9.2342.19200300.100.1.1)")]
    SoftwareStatement,
    /// It breaks a rule of the profile that is enforced.
    #[error("the client certificate does not meet the rule {0}: {text}", text = .0.asks())]
    Profile(Rule),
    /// The certificate expired after the handshake.
    #[error("the client certificate expired while its connection was open")]
    Expired,
    /// What was trusted in the handshake no longer is.
    #[error("the client certificate is no longer trusted: {0}")]
    Untrusted(PathReason),
    /// The connection has no client certificate.
    #[error("the connection carries no client certificate")]
    Absent,
}

/// The organisation and software statement behind a mutual-TLS connection.
///
/// It can only come from a verified path:
///
/// ```compile_fail,E0451
/// use portaria_decision::identity::Participant;
/// fn forge(participant: Participant) -> Participant { Participant { ..participant } }
/// ```
pub struct Participant {
    organisation_id: OrganisationId,
    software_statement_id: SoftwareStatementId,
    cnpj: Option<Box<str>>,
    organisation_name: Option<Box<str>>,
    common_name: Option<Box<str>>,
    thumbprint: Thumbprint,
    not_after: i64,
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participant").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Participant {
    /// Reads the end entity of a verified path, and tells `witness` which rules of the profile it breaks.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Unreadable`], [`IdentityError::Organisation`], [`IdentityError::SoftwareStatement`]
    /// or, for a rule that is enforced, [`IdentityError::Profile`]: routes that ask for a participant refuse,
    /// others do not.
    pub fn from_verified_path(
        path: &VerifiedPath<'_>,
        profile: &Profile,
        witness: impl Fn(&[Finding], &Culprit),
    ) -> Result<Self, IdentityError> {
        let der = path.end_entity();
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
        // Before anything is refused: who brings such a certificate is told all that is wrong with it.
        let findings = profile.examine(&certificate);
        if !findings.is_empty() {
            witness(&findings, &Culprit::of(&certificate));
        }
        // Never a matter of level, and the better explanation: so it comes before the rules that are
        // enforced.
        let subject = subject::read(certificate.subject(), profile)?;
        if let Some(broken) = findings.iter().find(|finding| finding.level == Level::Enforce) {
            return Err(IdentityError::Profile(broken.rule));
        }
        Ok(Self {
            organisation_id: subject.organisation_id,
            software_statement_id: subject.software_statement_id,
            cnpj: subject.cnpj,
            organisation_name: subject.organisation_name,
            common_name: subject.common_name,
            // Of the bytes that came, not of what was parsed: RFC 8705 section 3.1 hashes the DER.
            thumbprint: Thumbprint::of_certificate(der),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }

    /// The organisation's directory id, without prefix.
    pub fn organisation_id(&self) -> &OrganisationId {
        &self.organisation_id
    }

    /// The software statement's directory id.
    pub fn software_statement_id(&self) -> &SoftwareStatementId {
        &self.software_statement_id
    }

    /// The organisation's CNPJ (subject serialNumber), if the certificate has one.
    pub fn cnpj(&self) -> Option<&str> {
        self.cnpj.as_deref()
    }

    /// The organisation's legal name (subject O), if the certificate has one.
    pub fn organisation_name(&self) -> Option<&str> {
        self.organisation_name.as_deref()
    }

    /// The host that the certificate was issued for (subject CN), if it has one.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// SHA-256 of the certificate: what a bound token confirms.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// Refuses a certificate whose notAfter lies before `now`. Validity was checked in the handshake;
    /// a connection can outlive it.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Expired`], a refusal (RFC 5280 section 4.1.2.5).
    pub fn still_valid(&self, now: Moment) -> Result<(), IdentityError> {
        // Beyond every notAfter, should it ever fail: then the certificate has expired.
        let seconds = i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX);
        // notAfter itself is still within (RFC 5280 section 4.1.2.5).
        if seconds > self.not_after { Err(IdentityError::Expired) } else { Ok(()) }
    }
}

/// What is known of a connection's other end, decided in the handshake.
#[derive(Debug)]
pub enum Peer {
    /// A listener without client authentication.
    Anonymous,
    /// A verified path, and whether its subject names a participant.
    Certified(Box<Certified>),
}

/// The other end of a connection with a client certificate.
#[derive(Debug)]
pub struct Certified {
    identity: Result<Participant, IdentityError>,
    watch: Option<WatchedChain>,
    /// Once they can be told: what is not certain at one request may be at the next.
    certificate_fields: OnceLock<CertificateFields>,
    server_name: Option<Box<str>>,
    dismissed: AtomicBool,
}

impl Certified {
    /// Reads the chain of a connection whose handshake `trust` admitted; `domain` tells later what is
    /// trusted then. `server_name` is the host that the client asked for (SNI).
    pub fn in_handshake(
        chain: &[CertificateDer<'_>],
        server_name: Option<&str>,
        trust: &Trust,
        domain: Arc<TrustDomain>,
        now: Moment,
    ) -> Option<Self> {
        // Without a chain rustls ended the handshake: nobody is made a participant of nothing.
        let path = VerifiedPath::from_handshake(chain)?;
        let tell = |findings: &[Finding], culprit: &Culprit| trust.tell(findings, culprit);
        let identity = Participant::from_verified_path(&path, &trust.profile, tell);
        // By the trust that judged, not by the one in force now: a reload in between is noticed by it.
        let watch = Some(WatchedChain::new(chain, domain, trust, now));
        let server_name = server_name.map(Box::from);
        // Written when a backend first wants them: most routes never do, and base64 of a chain is some KiB.
        let (certificate_fields, dismissed) = (OnceLock::new(), AtomicBool::new(false));
        Some(Self { identity, watch, certificate_fields, server_name, dismissed })
    }
}

impl From<Participant> for Peer {
    /// A participant whose trust does not change.
    fn from(participant: Participant) -> Self {
        let (identity, certificate_fields) = (Ok(participant), OnceLock::new());
        let dismissed = AtomicBool::new(false);
        Self::Certified(Box::new(Certified {
            identity,
            watch: None,
            certificate_fields,
            server_name: None,
            dismissed,
        }))
    }
}

impl Peer {
    /// Refuses a connection whose chain is no longer trusted, whatever it asks for: a new one would not
    /// get through the handshake.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Untrusted`], a refusal that ends the connection.
    pub fn still_trusted(&self, now: Moment) -> Result<(), IdentityError> {
        match self {
            Self::Anonymous => Ok(()),
            Self::Certified(certified) => {
                certified.watch.as_ref().map_or(Ok(()), |watch| watch.still_trusted(now))
            }
        }
    }

    /// Notes that a request was refused for who sent it: the connection is to end.
    pub fn dismiss(&self) {
        if let Self::Certified(certified) = self {
            // Relaxed: the connection looks after its exchange, and nothing else is told by it.
            certified.dismissed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the connection is to end.
    pub fn is_dismissed(&self) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Certified(certified) => certified.dismissed.load(Ordering::Relaxed),
        }
    }

    /// The host that a client with a certificate asked for in its handshake.
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Certified(certified) => certified.server_name.as_deref(),
        }
    }

    /// The certificate as a backend is told it.
    pub fn certificate_fields(&self, now: Moment) -> Option<&CertificateFields> {
        let Self::Certified(certified) = self else {
            return None;
        };
        let watch = certified.watch.as_ref()?;
        // Judged once more for the path, as a chain may have several: only the one that holds is shown.
        match certified.certificate_fields.get() {
            Some(known) => Some(known),
            None => {
                let fields = CertificateFields::new(watch.end_entity()?, &watch.issuers(now)?)?;
                Some(certified.certificate_fields.get_or_init(|| fields))
            }
        }
    }

    /// The participant, if there is one and its certificate is still valid.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Absent`] without a client certificate, what the handshake found,
    /// [`IdentityError::Expired`], or what is found by the trust that is in force now,
    /// [`IdentityError::Untrusted`] among it: refusals that end the connection.
    pub fn participant(&self, now: Moment) -> Result<&Participant, IdentityError> {
        let Self::Certified(certified) = self else {
            return Err(IdentityError::Absent);
        };
        // What the handshake found comes first: it does not change while the connection lives.
        let participant = certified.identity.as_ref().map_err(Clone::clone)?;
        // Every time, and cheap: the chain is judged again only once a minute.
        participant.still_valid(now)?;
        certified.watch.as_ref().map_or(Ok(()), |watch| watch.still_identified(now))?;
        Ok(participant)
    }
}
