//! `portaria trust import`: from what a certification authority publishes to a file of trust anchors.
//!
//! Self-signed authorities of the generations asked for become anchors; an intermediate never does, it is
//! written to a file of its own. Where digests are given, a source that is not on the list is refused. The
//! distribution points that the certificates name are printed as the configuration takes them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{InspectError, day, read};
use crate::config::values;
use crate::identity::pem;
use crate::identity::signature::is_self_signed;
use crate::moment::Moment;

/// Bytes of everything in an archive: ITI's have some hundred kilobytes.
const LARGEST_ARCHIVE: u64 = 64 * 1024 * 1024;
/// Certificates between an end entity and a root, and more than any path has.
const DEEPEST: usize = 8;

/// What is asked.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments of the command")]
pub struct AnchorImport {
    pub sources: Vec<PathBuf>,
    pub generation: Vec<String>,
    pub sha512: Option<PathBuf>,
    pub output: PathBuf,
}

/// What becomes of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificateFate {
    Anchor,
    Intermediate,
    NoAuthority,
    Expired,
    OtherGeneration,
}

impl CertificateFate {
    fn as_str(self) -> &'static str {
        match self {
            Self::Anchor => "anchor",
            Self::Intermediate => "intermediate",
            Self::NoAuthority => "left out: no authority",
            Self::Expired => "left out: expired",
            Self::OtherGeneration => "left out: generation",
        }
    }
}

struct ImportedCertificate {
    der: CertificateDer<'static>,
    subject: String,
    issuer: String,
    name: String,
    is_root: bool,
    is_authority: bool,
    not_after: i64,
    points: Vec<String>,
}

/// Imports; gives the table of what became of each certificate.
pub fn run(import: &AnchorImport) -> Result<String, InspectError> {
    let digests = import.sha512.as_deref().map(read_digests).transpose()?;
    let mut found: BTreeMap<[u8; 32], ImportedCertificate> = BTreeMap::new();
    for source in &import.sources {
        collect(source, digests.as_ref(), &mut found)?;
    }
    let now = i64::try_from(Moment::now().unix_seconds()).unwrap_or(i64::MAX);
    // By names alone: what is followed here only tells the generation, and signs nothing.
    let by_subject: HashMap<&str, &ImportedCertificate> =
        found.values().map(|certificate| (certificate.subject.as_str(), certificate)).collect();
    let (mut table, mut points) = (String::new(), BTreeMap::new());
    let (mut anchors, mut intermediates) = (String::new(), String::new());
    for (fingerprint, certificate) in &found {
        let generation = generation(certificate, &by_subject);
        let fate = fate(certificate, &generation, &import.generation, now);
        match fate {
            CertificateFate::Anchor => anchors.push_str(&in_pem(certificate)),
            CertificateFate::Intermediate => intermediates.push_str(&in_pem(certificate)),
            CertificateFate::NoAuthority
            | CertificateFate::Expired
            | CertificateFate::OtherGeneration => {}
        }
        // Its own lists an authority names in what it issues: an end entity among the sources tells them.
        let is_current = certificate.not_after >= now && import.generation.contains(&generation);
        if fate == CertificateFate::Intermediate
            || (fate == CertificateFate::NoAuthority && is_current)
        {
            let issuer =
                by_subject.get(certificate.issuer.as_str()).map_or("", |c| c.name.as_str());
            points.extend(certificate.points.iter().map(|point| (point.as_str(), issuer)));
        }
        let until = day(certificate.not_after);
        let hex: String = fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        let (what, name) = (fate.as_str(), &certificate.name);
        // Writing to a string does not fail.
        let _ = writeln!(table, "{what:<22}  {generation:<4}  {until:<10}  {hex}  {name}");
    }
    if anchors.is_empty() {
        return Err(InspectError::NoRoot(import.generation.join(", ")));
    }
    write(&import.output, &anchors)?;
    write(&beside(&import.output), &intermediates)?;
    Ok(in_order(&table) + &allow_list(&points))
}

/// The points with the names of those whose lists they have, as the configuration takes them; nothing if no
/// point is named.
fn allow_list(points: &BTreeMap<&str, &str>) -> String {
    if points.is_empty() {
        return String::new();
    }
    let line = |(point, issuer): (&&str, &&str)| format!("    \"{point}\",  # {issuer}\n");
    let lines: String = points.iter().map(line).collect();
    format!("\n\ndistribution_points = [\n{lines}]")
}

/// Anchors first, then what is known, then what was left out; by name within.
fn in_order(table: &str) -> String {
    let mut lines: Vec<&str> = table.lines().collect();
    let rank = |line: &str| match line {
        line if line.starts_with("anchor") => 0,
        line if line.starts_with("intermediate") => 1,
        _ => 2,
    };
    lines.sort_by_key(|line| (rank(line), line.rsplit("  ").next().unwrap_or_default().to_owned()));
    lines.join("\n")
}

fn fate(
    certificate: &ImportedCertificate,
    generation: &str,
    kept: &[String],
    now: i64,
) -> CertificateFate {
    if !certificate.is_authority {
        return CertificateFate::NoAuthority;
    }
    if certificate.not_after < now {
        return CertificateFate::Expired;
    }
    if !kept.iter().any(|kept| kept == generation) {
        return CertificateFate::OtherGeneration;
    }
    if certificate.is_root { CertificateFate::Anchor } else { CertificateFate::Intermediate }
}

/// The generation of the root that a certificate's issuers lead to: the last word of its name.
fn generation(
    certificate: &ImportedCertificate,
    by_subject: &HashMap<&str, &ImportedCertificate>,
) -> String {
    let mut at = certificate;
    // Counted, for two cross-signed authorities are each other's issuer.
    for _ in 0..DEEPEST {
        if at.is_root {
            let last = at.name.rsplit(' ').next().unwrap_or_default();
            let is_generation = last.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
            return if is_generation { last.to_owned() } else { "-".to_owned() };
        }
        match by_subject.get(at.issuer.as_str()) {
            Some(issuer) => at = issuer,
            None => break,
        }
    }
    "-".to_owned()
}

type Digests = BTreeMap<String, String>;

/// `digest  name`, as sha512sum writes it.
fn read_digests(file: &Path) -> Result<Digests, InspectError> {
    let text = String::from_utf8_lossy(&read(file)?).into_owned();
    let line = |line: &str| {
        let (digest, name) = line.split_once(char::is_whitespace)?;
        Some((digest.to_ascii_lowercase(), name.trim().trim_start_matches('*').to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn collect(
    source: &Path,
    digests: Option<&Digests>,
    found: &mut BTreeMap<[u8; 32], ImportedCertificate>,
) -> Result<(), InspectError> {
    if source.is_dir() {
        let unreadable = |error| InspectError::Unreadable { file: source.to_owned(), error };
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(source).map_err(unreadable)? {
            entries.push(entry.map_err(unreadable)?.path());
        }
        entries.sort();
        return entries.iter().try_for_each(|entry| collect(entry, digests, found));
    }
    let bytes = read(source)?;
    if let Some(digests) = digests {
        let sha512: String =
            digest(&SHA512, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        // By the digest alone: what was downloaded may be called anything.
        if !digests.contains_key(&sha512) {
            return Err(InspectError::Digest { file: source.to_owned() });
        }
    }
    let wrong = |what: String| InspectError::Source { file: source.to_owned(), what };
    // By its first bytes (APPNOTE.TXT 4.3.7), and not by its name.
    let ders = match bytes.starts_with(b"PK\x03\x04") {
        true => in_archive(bytes).map_err(wrong)?,
        false => in_file(&bytes).map_err(wrong)?,
    };
    for der in ders {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &der).as_ref());
        // By fingerprint: one that several sources hold stands once in what is written.
        found.insert(fingerprint, parse(der).map_err(wrong)?);
    }
    Ok(())
}

fn in_archive(bytes: Vec<u8>) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut archive =
        zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| "is no zip archive".to_owned())?;
    let (mut ders, mut left) = (Vec::new(), LARGEST_ARCHIVE);
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|_| "is a damaged zip archive".to_owned())?;
        if !entry.is_file() {
            continue;
        }
        let mut content = Vec::new();
        // What it unpacks to is not what it says: of a few bytes gigabytes can come.
        let read = entry.take(left).read_to_end(&mut content);
        let read = read.map_err(|_| "is a damaged zip archive".to_owned())?;
        left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        if left == 0 {
            return Err("holds more than 64 MiB".to_owned());
        }
        ders.extend(in_file(&content)?);
    }
    Ok(ders)
}

fn in_file(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let blocks = pem::certificates_or_der(bytes).map_err(|fault| fault.to_string())?;
    Ok(blocks.into_iter().map(pem::Block::into_certificate).collect())
}

fn parse(der: CertificateDer<'static>) -> Result<ImportedCertificate, String> {
    let (_, parsed) =
        X509Certificate::from_der(&der).map_err(|_| "has a malformed certificate".to_owned())?;
    let is_root = is_self_signed(&parsed);
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let (subject, issuer) = (parsed.subject().to_string(), parsed.issuer().to_string());
    let name = printable(name.unwrap_or(&subject));
    let (is_authority, not_after) = (parsed.is_ca(), parsed.validity().not_after.timestamp());
    let points = points_of(&parsed);
    Ok(ImportedCertificate { subject, issuer, name, is_root, is_authority, not_after, points, der })
}

/// The distribution points that a certificate names and the gateway could fetch, as it would write them: a
/// URL holds nothing that ends a string or that a terminal would obey.
fn points_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut urls = Vec::new();
    for extension in certificate.extensions() {
        let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() else {
            continue;
        };
        for name in points.iter().filter_map(|point| point.distribution_point.as_ref()) {
            if let DistributionPointName::FullName(names) = name {
                urls.extend(names.iter().filter_map(url_of));
            }
        }
    }
    urls
}

fn url_of(name: &GeneralName<'_>) -> Option<String> {
    let GeneralName::URI(text) = name else {
        return None;
    };
    let url = values::url(text.trim())?.to_string();
    (!url.contains(['"', '\\'])).then_some(url)
}

/// A name may hold what a terminal would obey.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn in_pem(certificate: &ImportedCertificate) -> String {
    let body = STANDARD.encode(&certificate.der);
    let mut pem = format!("# {}, until {}\n", certificate.name, day(certificate.not_after));
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// `trust-anchors.pem` has its intermediates in `trust-anchors-intermediates.pem`.
fn beside(output: &Path) -> PathBuf {
    let stem = output.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    output.with_file_name(format!("{}-intermediates.pem", stem.unwrap_or_default()))
}

fn write(file: &Path, text: &str) -> Result<(), InspectError> {
    std::fs::write(file, text)
        .map_err(|error| InspectError::Unwritable { file: file.to_owned(), error })
}
