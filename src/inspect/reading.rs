//! `portaria cert show`: what the gateway reads from a certificate, and which rules of a profile it meets.
//!
//! Nothing is judged that depends on anything else: whether a path leads to an anchor is
//! [`super::cert`]'s to say.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::oid_registry::OidRegistry;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::{InspectError, day, read};
use crate::identity::path::faults_of_end_entity;
use crate::identity::pem;
use crate::identity::{Level, Name, PathRules, Preset, Rule, Thumbprint};
use crate::moment::Moment;
use crate::printed;

/// What is asked.
#[derive(Clone, Debug)]
pub struct CertificateQuestion {
    /// A certificate in PEM or DER; of several the first.
    pub file: PathBuf,
    /// The profile whose rules are held against it.
    pub profile: Preset,
    /// A distinguished name that the subject is compared with.
    pub subject_dn: Option<String>,
}

/// What is read.
#[derive(Debug)]
pub struct CertificateReading {
    facts: Vec<(&'static str, Value)>,
    profile: Preset,
    rules: Vec<(Rule, RuleOutcome)>,
    faults: Vec<String>,
    matches: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleOutcome {
    Met,
    Broken(Level),
}

impl RuleOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Broken(Level::Enforce) => "refused",
            Self::Broken(Level::Warn) => "warned",
            Self::Broken(Level::Off) => "off",
        }
    }
}

/// Reads a certificate.
pub fn run(question: &CertificateQuestion) -> Result<CertificateReading, InspectError> {
    let wrong = |what: String| InspectError::Source { file: question.file.clone(), what };
    let blocks = pem::certificates_or_der(&read(&question.file)?);
    let blocks = blocks.map_err(|fault| wrong(fault.to_string()))?;
    let der = blocks.into_iter().next().map(pem::Block::into_certificate);
    let der = der.ok_or_else(|| wrong("has no certificate".to_owned()))?;
    let (_, certificate) = X509Certificate::from_der(&der)
        .map_err(|_| wrong("a certificate that cannot be parsed".to_owned()))?;
    let profile = question.profile.profile();
    let outcome = |rule| match profile.is_met(rule, &certificate) {
        true => RuleOutcome::Met,
        false => RuleOutcome::Broken(profile.levels.of(rule)),
    };
    let subject = Name::of(certificate.subject());
    let wanted = question.subject_dn.as_deref().map(Name::parse).transpose();
    let wanted = wanted.map_err(InspectError::Name)?;
    let faults = faults_of_end_entity(&certificate, &PathRules::OF_LISTENERS);
    Ok(CertificateReading {
        facts: facts(&certificate, &der),
        profile: question.profile,
        rules: Rule::ALL.into_iter().map(|rule| (rule, outcome(rule))).collect(),
        faults: faults.iter().map(ToString::to_string).collect(),
        matches: wanted.map(|wanted| subject.matches(&wanted)),
    })
}

fn facts(certificate: &X509Certificate<'_>, der: &[u8]) -> Vec<(&'static str, Value)> {
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let now = i64::try_from(Moment::now().unix_seconds()).unwrap_or(i64::MAX);
    let state = match () {
        () if until < now => "expired",
        () if from > now => "not_yet_valid",
        () => "valid",
    };
    vec![
        ("subject", json!(Name::of(certificate.subject()).to_string())),
        ("issuer", json!(Name::of(certificate.issuer()).to_string())),
        ("serial", json!(certificate.raw_serial_as_string())),
        ("organisation_identifier", json!(attribute(certificate, "2.5.4.97"))),
        ("software_statement_id", json!(attribute(certificate, "0.9.2342.19200300.100.1.1"))),
        ("cnpj", json!(attribute(certificate, "2.5.4.5"))),
        ("business_category", json!(attribute(certificate, "2.5.4.15"))),
        ("jurisdiction", json!(attribute(certificate, "1.3.6.1.4.1.311.60.2.1.3"))),
        ("not_before", json!(day(from))),
        ("not_after", json!(day(until))),
        ("state", json!(state)),
        ("key", json!(key(certificate))),
        ("signature", json!(signature(certificate))),
        ("x5t#S256", json!(Thumbprint::of_certificate(der).to_text())),
        ("hosts", json!(hosts(certificate))),
        ("key_usage", json!(key_usage(certificate))),
        ("purposes", json!(purposes(certificate))),
        ("crl_points", json!(distribution_points(certificate))),
    ]
}

/// Every value of an attribute: what decides stands once.
fn attribute(certificate: &X509Certificate<'_>, oid: &str) -> Vec<String> {
    let attributes = certificate.subject().iter_attributes();
    let named = attributes.filter(|attribute| attribute.attr_type().to_id_string() == oid);
    named.filter_map(|attribute| attribute.as_str().ok().map(plain)).collect()
}

fn key(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(point)) => format!("EC {}", point.key_size()),
        // Of a key that the parser does not know the OID is all there is.
        _ => certificate.public_key().algorithm.algorithm.to_id_string(),
    }
}

fn signature(certificate: &X509Certificate<'_>) -> String {
    let oid = &certificate.signature_algorithm.algorithm;
    let registry = OidRegistry::default().with_crypto();
    registry.get(oid).map_or_else(|| oid.to_id_string(), |known| known.sn().to_owned())
}

fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let hosts = names.filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(plain(host)),
        _ => None,
    });
    hosts.collect()
}

fn key_usage(certificate: &X509Certificate<'_>) -> Vec<String> {
    let usage = certificate.key_usage().ok().flatten();
    let Some(usage) = usage.map(|usage| usage.value) else {
        return Vec::new();
    };
    let known = [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ];
    known.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned()).collect()
}

fn purposes(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Some(usage) = certificate.extended_key_usage().ok().flatten() else {
        return Vec::new();
    };
    let known = [
        (usage.value.any, "any"),
        (usage.value.client_auth, "clientAuth"),
        (usage.value.server_auth, "serverAuth"),
        (usage.value.email_protection, "emailProtection"),
        (usage.value.code_signing, "codeSigning"),
    ];
    let known = known.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned());
    known.chain(usage.value.other.iter().map(|oid| oid.to_id_string())).collect()
}

fn distribution_points(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut points = Vec::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::CRLDistributionPoints(found) = extension.parsed_extension() {
            let names = found.iter().filter_map(|point| match &point.distribution_point {
                Some(DistributionPointName::FullName(names)) => Some(names),
                _ => None,
            });
            let uris = names.flatten().filter_map(|name| match name {
                GeneralName::URI(uri) => Some(plain(uri)),
                _ => None,
            });
            points.extend(uris);
        }
    }
    points
}

/// A terminal would obey some characters.
fn plain(text: &str) -> String {
    printed::line(text).into_owned()
}

impl CertificateReading {
    /// Whether the subject is the name that was asked for, or none was.
    pub fn is_match(&self) -> bool {
        self.matches.unwrap_or(true)
    }

    /// What is read, as JSON.
    pub fn to_json(&self) -> String {
        let facts = self.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let mut object: Map<String, Value> = facts.collect();
        let rules = self.rules.iter();
        let rules: Map<String, Value> =
            rules.map(|(rule, outcome)| (rule.name().to_owned(), json!(outcome.name()))).collect();
        object.insert("profile".into(), json!(self.profile.name()));
        object.insert("rules".into(), rules.into());
        object.insert("faults".into(), json!(self.faults));
        object.insert("subject_dn_matches".into(), json!(self.matches));
        Value::from(object).to_string()
    }
}

impl fmt::Display for CertificateReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.facts {
            let text = match value {
                Value::Array(items) => {
                    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
                }
                value => value.as_str().unwrap_or_default().to_owned(),
            };
            let text = printed::line(if text.is_empty() { "-" } else { &text });
            writeln!(f, "{name:<24}{text}")?;
        }
        for fault in &self.faults {
            writeln!(f, "refused in the handshake: {fault}")?;
        }
        writeln!(f, "rules of {}:", self.profile.name())?;
        for (rule, outcome) in &self.rules {
            writeln!(f, "  {:<9}{:<26}{}", outcome.name(), rule.name(), rule.asks())?;
        }
        match self.matches {
            Some(true) => writeln!(f, "the subject matches the given name"),
            Some(false) => writeln!(f, "the subject does not match the given name"),
            None => Ok(()),
        }
    }
}
