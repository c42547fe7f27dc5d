//! `portaria cert`: what the gateway would say of a certificate.
//!
//! Judges through the very code of the handshake. Whatever the files hold, the answer is `valid` or
//! `invalid` with a named reason; only a file that cannot be read, or a time that is none, is an error.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{InspectError, read};
use crate::identity::{
    Culprit, Finding, IdentityError, Leniency, Level, Participant, PathFault, PathReason,
    PathRules, PathVerifier, Preset, Purpose, Revocation, RevocationList, Rule, TrustAnchors,
};
use crate::listener::tls::provider;

/// What a certificate is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Use {
    /// Client authentication.
    Client,
    /// Server authentication.
    Server,
}

/// What is asked beside RFC 5280: what a listener asks, with the rules of a profile, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What a listener asks.
    Profile(Preset),
    /// Nothing.
    None,
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "none" {
            return Ok(Self::None);
        }
        let known = || Preset::ALL.map(Preset::name).join(", ");
        Preset::parse(name).map(Self::Profile).ok_or_else(|| format!("accepted: {}, none", known()))
    }
}

impl From<PathFault> for Fault {
    fn from(fault: PathFault) -> Self {
        Self::Path(fault)
    }
}

impl From<PathReason> for Fault {
    fn from(reason: PathReason) -> Self {
        Self::Path(reason.into())
    }
}

/// What is asked.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments of the command")]
pub struct Question {
    pub chain: PathBuf,
    pub anchors: PathBuf,
    pub intermediates: Option<PathBuf>,
    pub crl: Vec<PathBuf>,
    pub at: Option<String>,
    pub purpose: Use,
    pub profile: Asked,
}

/// The answer.
#[derive(Debug)]
pub struct Verdict {
    fault: Option<Fault>,
    /// Rules that are broken and only warn.
    warnings: Vec<Rule>,
}

/// Why a certificate would not get through.
#[derive(Debug, Error)]
enum Fault {
    /// In the handshake.
    #[error("{0}")]
    Path(PathFault),
    /// At every request.
    #[error("{}", name_of(.0))]
    Identity(IdentityError),
}

/// The rule that a certificate breaks whose path holds.
fn name_of(error: &IdentityError) -> &'static str {
    match error {
        IdentityError::Organisation => Rule::OrganisationId.name(),
        IdentityError::SoftwareStatement => Rule::SoftwareStatementId.name(),
        IdentityError::Profile(rule) => rule.name(),
        IdentityError::Unreadable => "malformed",
        IdentityError::Expired => "expired",
        IdentityError::Untrusted(_) | IdentityError::Absent => "unknown_issuer",
    }
}

impl Verdict {
    /// Whether the chain holds.
    pub fn is_valid(&self) -> bool {
        self.fault.is_none()
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> String {
        let culprit = self.fault.as_ref().and_then(|fault| match fault {
            Fault::Path(fault) => fault.certificate.as_ref(),
            Fault::Identity(_) => None,
        });
        let warnings: Vec<_> = self.warnings.iter().map(|rule| rule.name()).collect();
        serde_json::json!({
            "valid": self.is_valid(),
            "reason": self.fault.as_ref().map(ToString::to_string),
            "warnings": warnings,
            "subject": culprit.map(|culprit| &culprit.subject),
            "issuer": culprit.map(|culprit| &culprit.issuer),
            "serial": culprit.map(|culprit| &culprit.serial),
        })
        .to_string()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            None => f.write_str("valid"),
            Some(fault) => write!(f, "invalid: {fault}"),
        }
    }
}

/// Judges a chain.
pub fn verify(question: &Question) -> Result<Verdict, InspectError> {
    let at = time_of(question.at.as_deref())?;
    let mut chain = read(&question.chain)?;
    if let Some(more) = &question.intermediates {
        chain.push(b'\n');
        chain.extend(read(more)?);
    }
    let anchors = read(&question.anchors)?;
    let mut lists = Vec::new();
    for file in &question.crl {
        lists.push((read(file)?, file.display().to_string()));
    }
    let warnings = RefCell::default();
    let judged = judge(question, &chain, &anchors, &lists, at, &warnings);
    Ok(Verdict { fault: judged.err(), warnings: warnings.into_inner() })
}

fn judge(
    question: &Question,
    chain: &[u8],
    anchors: &[u8],
    lists: &[(Vec<u8>, String)],
    at: UnixTime,
    warnings: &RefCell<Vec<Rule>>,
) -> Result<(), Fault> {
    let chain = certificates(chain)?;
    // What somebody declares to be an anchor is one here: a listener asks for self-signed roots.
    let anchors =
        TrustAnchors::as_given(&certificates(anchors)?).map_err(|_| PathReason::Malformed)?;
    let purpose = match question.purpose {
        Use::Client => Purpose::Client,
        Use::Server => Purpose::Server,
    };
    let rules = match question.profile {
        Asked::Profile(_) => PathRules { purpose, ..PathRules::OF_LISTENERS },
        Asked::None => PathRules {
            purpose,
            purpose_must_be_named: false,
            form_must_conform: false,
            most_certificates: 40,
        },
    };
    let paths = PathVerifier {
        anchors,
        rules,
        revocation: revocation(lists)?,
        algorithms: provider().signature_verification_algorithms,
    };
    let path = paths.verify(&chain, at)?;
    if let (Asked::Profile(preset), Purpose::Client) = (question.profile, purpose) {
        let warn = |findings: &[Finding], _: &Culprit| {
            let warned = findings.iter().filter(|finding| finding.level == Level::Warn);
            warnings.borrow_mut().extend(warned.map(|finding| finding.rule));
        };
        Participant::from_verified_path(&path, &preset.profile(), warn).map_err(Fault::Identity)?;
    }
    Ok(())
}

/// A list that is not understood may be the one that revokes, as it is for a listener.
fn revocation(files: &[(Vec<u8>, String)]) -> Result<Option<Arc<Revocation>>, PathReason> {
    let mut lists = Vec::new();
    for (bytes, name) in files {
        lists.extend(RevocationList::read_all(bytes, name).map_err(|_| PathReason::CrlInvalid)?);
    }
    let revocation = Revocation::new(lists, Leniency::Refuse, Leniency::Refuse);
    Ok((!files.is_empty()).then(|| Arc::new(revocation)))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PathReason> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    parsed.map_err(|_| PathReason::Malformed)
}

/// Reads a time; the present, if there is none.
pub(crate) fn time_of(at: Option<&str>) -> Result<UnixTime, InspectError> {
    let since_epoch = match at {
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok(),
        Some(text) => OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|time| u64::try_from(time.unix_timestamp()).ok())
            .map(Duration::from_secs),
    };
    let since_epoch =
        since_epoch.ok_or_else(|| InspectError::Time(at.unwrap_or_default().to_owned()))?;
    Ok(UnixTime::since_unix_epoch(since_epoch))
}
