//! `portaria cert`: what the gateway would say of a certificate.
//!
//! Judges through the very code of the handshake. Whatever the files hold, the answer is `valid` or
//! `invalid` with a named reason; only a file that cannot be read, or a time that is none, is an error.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{InspectError, read};
use crate::config::trust;
use crate::identity::{
    Leniency, PathFault, PathReason, PathRules, PathVerifier, Purpose, Revocation, TrustAnchors,
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

/// What is asked beside RFC 5280.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// What a listener of the gateway asks: the end entity names its purpose, and every form conforms.
    Gateway,
    /// Nothing.
    None,
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
    pub profile: Profile,
}

/// The answer.
#[derive(Debug)]
pub struct Verdict(Result<(), PathFault>);

impl Verdict {
    /// Whether the chain holds.
    pub fn is_valid(&self) -> bool {
        self.0.is_ok()
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> String {
        let fault = self.0.as_ref().err();
        let culprit = fault.and_then(|fault| fault.certificate.as_ref());
        serde_json::json!({
            "valid": self.is_valid(),
            "reason": fault.map(|fault| fault.reason.to_string()),
            "subject": culprit.map(|culprit| &culprit.subject),
            "issuer": culprit.map(|culprit| &culprit.issuer),
            "serial": culprit.map(|culprit| &culprit.serial),
        })
        .to_string()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(()) => f.write_str("valid"),
            Err(fault) => write!(f, "invalid: {}", fault.reason),
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
    Ok(Verdict(judge(question, &chain, &anchors, &lists, at)))
}

fn judge(
    question: &Question,
    chain: &[u8],
    anchors: &[u8],
    lists: &[(Vec<u8>, String)],
    at: UnixTime,
) -> Result<(), PathFault> {
    let chain = certificates(chain)?;
    // What somebody declares to be an anchor is one here: a listener asks for self-signed roots.
    let anchors =
        TrustAnchors::as_given(&certificates(anchors)?).map_err(|_| PathReason::Malformed)?;
    let purpose = match question.purpose {
        Use::Client => Purpose::Client,
        Use::Server => Purpose::Server,
    };
    let rules = match question.profile {
        Profile::Gateway => PathRules { purpose, ..PathRules::OF_LISTENERS },
        Profile::None => PathRules {
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
    paths.verify(&chain, at).map(|_| ())
}

/// A list that is not understood may be the one that revokes, as it is for a listener.
fn revocation(files: &[(Vec<u8>, String)]) -> Result<Option<Arc<Revocation>>, PathReason> {
    let mut lists = Vec::new();
    for (bytes, name) in files {
        lists.extend(trust::parse_lists(bytes, name).map_err(|_| PathReason::CrlInvalid)?);
    }
    let revocation = Revocation::new(lists, Leniency::Refuse, Leniency::Refuse);
    Ok((!files.is_empty()).then(|| Arc::new(revocation)))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PathReason> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    parsed.map_err(|_| PathReason::Malformed)
}

fn time_of(at: Option<&str>) -> Result<UnixTime, InspectError> {
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
