//! `portaria cert`: what the gateway would say of a certificate.
//!
//! Judges through the very code of the handshake. Whatever the files hold, the answer is `valid` or
//! `invalid` with a named reason; only a file that cannot be read, or a time that is none, is an error.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use rustls::pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{InspectError, read};
use crate::identity::pem;
use crate::identity::{
    Culprit, Finding, IdentityError, Leniency, Level, Participant, PathFault, PathReason,
    PathRules, PathVerifier, Preset, Purpose, Revocation, RevocationList, Rule, TrustAnchors,
};
use crate::listener::tls::provider;

/// What a certificate is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CertificateUse {
    /// Client authentication.
    Client,
    /// Server authentication.
    Server,
}

/// What is asked beside RFC 5280: what a listener asks, with the rules of a profile, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileChoice {
    /// What a listener asks.
    Profile(Preset),
    /// Nothing.
    None,
}

impl FromStr for ProfileChoice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "none" {
            return Ok(Self::None);
        }
        let known = || Preset::ALL.map(Preset::name).join(", ");
        Preset::parse(name).map(Self::Profile).ok_or_else(|| format!("accepted: {}, none", known()))
    }
}

impl From<PathFault> for CertificateFault {
    fn from(fault: PathFault) -> Self {
        Self::Path(fault)
    }
}

impl From<PathReason> for CertificateFault {
    fn from(reason: PathReason) -> Self {
        Self::Path(reason.into())
    }
}

/// What is asked.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments of the command")]
pub struct ChainQuestion {
    pub chain: PathBuf,
    pub anchors: PathBuf,
    pub intermediates: Option<PathBuf>,
    pub crl: Vec<PathBuf>,
    pub at: Option<String>,
    pub purpose: CertificateUse,
    pub profile: ProfileChoice,
}

/// The answer.
#[derive(Debug)]
pub struct ChainVerdict {
    fault: Option<CertificateFault>,
    /// Which file cannot be read as what it should be, and where.
    note: Option<String>,
    /// Rules that are broken and only warn.
    warnings: Vec<Rule>,
}

/// Why a certificate would not get through.
#[derive(Debug, Error)]
enum CertificateFault {
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
        // Not of a certificate whose path was verified just before.
        IdentityError::Untrusted(_) | IdentityError::Absent => "unknown_issuer",
    }
}

impl ChainVerdict {
    /// Whether the chain holds.
    pub fn is_valid(&self) -> bool {
        self.fault.is_none()
    }

    /// What is wrong with a file, and in which line.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> String {
        let culprit = self.fault.as_ref().and_then(|fault| match fault {
            CertificateFault::Path(fault) => fault.certificate.as_ref(),
            CertificateFault::Identity(_) => None,
        });
        let warnings: Vec<_> = self.warnings.iter().map(|rule| rule.name()).collect();
        serde_json::json!({
            "valid": self.is_valid(),
            "reason": self.fault.as_ref().map(ToString::to_string),
            "warnings": warnings,
            "note": self.note,
            "subject": culprit.map(|culprit| &culprit.subject),
            "issuer": culprit.map(|culprit| &culprit.issuer),
            "serial": culprit.map(|culprit| &culprit.serial),
        })
        .to_string()
    }
}

impl fmt::Display for ChainVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            None => f.write_str("valid"),
            Some(fault) => write!(f, "invalid: {fault}"),
        }
    }
}

/// What there is to judge by.
struct Sources {
    chain: Vec<CertificateDer<'static>>,
    anchors: Vec<CertificateDer<'static>>,
    lists: Vec<Arc<RevocationList>>,
}

/// Why a file is not what it should be: the reason of the verdict, and what to say of the file.
type UnusableFile = (PathReason, String);

/// Judges a chain.
pub fn verify(question: &ChainQuestion) -> Result<ChainVerdict, InspectError> {
    let at = time_of(question.at.as_deref())?;
    let warnings = RefCell::default();
    let (fault, note) = match sources(question)? {
        Ok(sources) => (judge(question, &sources, at, &warnings).err(), None),
        Err((reason, note)) => (Some(reason.into()), Some(note)),
    };
    Ok(ChainVerdict { fault, note, warnings: warnings.into_inner() })
}

fn sources(question: &ChainQuestion) -> Result<Result<Sources, UnusableFile>, InspectError> {
    let certificates = |file: &Path| {
        let blocks = pem::certificates(&read(file)?);
        let blocks = blocks.map_err(|fault| (PathReason::Malformed, fault.in_file(file.display())));
        let ders = |blocks: Vec<pem::Block>| {
            blocks.into_iter().map(pem::Block::into_certificate).collect::<Vec<_>>()
        };
        Ok(blocks.map(ders))
    };
    let chain = certificates(&question.chain)?;
    let more = question.intermediates.as_deref().map(certificates).transpose()?;
    let anchors = certificates(&question.anchors)?;
    // A list that is not understood may be the one that revokes, as it is for a listener.
    let list = |file: &PathBuf| {
        let lists = RevocationList::read_all(&read(file)?, &file.display().to_string());
        Ok(lists.map_err(|misfit| (PathReason::CrlInvalid, misfit.in_file(file.display()))))
    };
    let lists: Result<Vec<_>, InspectError> = question.crl.iter().map(list).collect();
    let lists: Result<Vec<_>, UnusableFile> = lists?.into_iter().collect();
    // All files are opened before any is judged: one that cannot be read is an error, and no verdict.
    Ok((|| {
        let mut chain = chain?;
        chain.extend(more.transpose()?.into_iter().flatten());
        let lists = lists?.into_iter().flatten().map(Arc::new).collect();
        Ok(Sources { chain, anchors: anchors?, lists })
    })())
}

fn judge(
    question: &ChainQuestion,
    sources: &Sources,
    at: UnixTime,
    warnings: &RefCell<Vec<Rule>>,
) -> Result<(), CertificateFault> {
    // What somebody declares to be an anchor is one here: a listener asks for self-signed roots.
    let anchors = TrustAnchors::as_given(&sources.anchors).map_err(|_| PathReason::Malformed)?;
    let purpose = match question.purpose {
        CertificateUse::Client => Purpose::Client,
        CertificateUse::Server => Purpose::Server,
    };
    let rules = match question.profile {
        ProfileChoice::Profile(_) => PathRules { purpose, ..PathRules::OF_LISTENERS },
        ProfileChoice::None => PathRules {
            purpose,
            purpose_must_be_named: false,
            form_must_conform: false,
            most_certificates: 40,
        },
    };
    let lists = sources.lists.clone();
    let revocation = Revocation::new(lists, Leniency::Refuse, Leniency::Refuse);
    let paths = PathVerifier {
        anchors,
        rules,
        // Without lists nobody is looked up: of an empty set everybody's authority would lack its list.
        revocation: (!question.crl.is_empty()).then(|| Arc::new(revocation)),
        algorithms: provider().signature_verification_algorithms,
    };
    let path = paths.verify(&sources.chain, at)?;
    if let (ProfileChoice::Profile(preset), Purpose::Client) = (question.profile, purpose) {
        let warn = |findings: &[Finding], _: &Culprit| {
            let warned = findings.iter().filter(|finding| finding.level == Level::Warn);
            warnings.borrow_mut().extend(warned.map(|finding| finding.rule));
        };
        Participant::from_verified_path(&path, &preset.profile(), warn)
            .map_err(CertificateFault::Identity)?;
    }
    Ok(())
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
