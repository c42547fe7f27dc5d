//! Certificates and keys in PEM files, and other small files: what is wrong with one is said with its line.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::document::{Located, Place, Table};
use crate::identity::pem;

/// The certificates of a file, and where each begins.
pub(super) struct Certificates {
    pub(super) ders: Vec<CertificateDer<'static>>,
    lines: Vec<usize>,
    file: PathBuf,
}

impl Certificates {
    /// The file and line of one, by its position counted from 1.
    pub(super) fn at(&self, position: usize) -> String {
        let line = self.lines.get(position.saturating_sub(1)).copied().unwrap_or_default();
        format!("{}:{line}", self.file.display())
    }
}

/// The path that a key names, from the document's directory.
pub(super) fn path(
    table: &Table<'_>,
    key: &'static str,
    accepted: &str,
) -> Option<Located<PathBuf>> {
    let text = table.required(key, accepted)?;
    Some(Located { value: table.directory().join(&text.value), place: text.place })
}

/// The certificates of a file, at least one.
pub(super) fn certificates(table: &Table<'_>, key: &'static str) -> Option<Located<Certificates>> {
    let accepted = "a PEM file with certificates";
    let Located { value: file, place } = path(table, key, accepted)?;
    let bytes = read(&file, &place, accepted)?;
    let blocks = pem::certificates(&bytes).map_err(|fault| {
        place.reject(format!("{}, accepted: {accepted}", fault.in_file(file.display())));
    });
    let lines: Vec<usize> = blocks.iter().flatten().map(|block| block.line).collect();
    let ders: Vec<_> = blocks.ok()?.into_iter().map(pem::Block::into_certificate).collect();
    let is_none = |der: &CertificateDer<'_>| {
        // The parser stops at the end of the certificate, whatever follows it in the block.
        !X509Certificate::from_der(der).is_ok_and(|(after, _)| after.is_empty())
    };
    if let Some(none) = ders.iter().position(is_none) {
        let line = lines.get(none).copied().unwrap_or_default();
        let shown = file.display();
        place.reject(format!("{shown}:{line} is no certificate, accepted: {accepted}"));
        return None;
    }
    Some(Located { value: Certificates { ders, lines, file }, place })
}

/// The certificates of a file that follow each other, each one's issuer after it. Who is shown a chain may put it
/// in order for itself, but need not (RFC 5246 section 7.4.2).
pub(super) fn chain(table: &Table<'_>, key: &'static str) -> Option<Located<Certificates>> {
    let accepted = "accepted: the own certificate first, and after each its issuer's";
    let chain = certificates(table, key)?;
    let Located { value: file, place } = &chain;
    let parsed: Vec<_> =
        file.ders.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
    let is_next = |pair: &[X509Certificate<'_>]| match pair {
        // Byte by byte, as webpki compares names, and so whoever is built on it.
        [below, above] => below.issuer().as_raw() == above.subject().as_raw(),
        _ => true,
    };
    if let Some(out) = parsed.windows(2).position(|pair| !is_next(pair)) {
        let (below, at) = (file.at(out + 1), file.at(out + 2));
        place.reject(format!("{at} is not the issuer of the one before it ({below}), {accepted}"));
        return None;
    }
    // Alone it is borne: `openssl req -x509` marks what it makes as an authority's.
    if parsed.len() > 1 && parsed.first().is_some_and(|first| first.is_ca()) {
        place.reject(format!("{} is an authority's certificate, {accepted}", file.at(1)));
        return None;
    }
    Some(chain)
}

/// The private key of a file.
pub(super) fn private_key(
    table: &Table<'_>,
    key: &'static str,
) -> Option<Located<PrivateKeyDer<'static>>> {
    let accepted = "a PEM file with one unencrypted private key";
    let Located { value: file, place } = path(table, key, accepted)?;
    let bytes = read(&file, &place, accepted)?;
    look_at_permissions(&file, &place);
    match pem::private_key(&bytes) {
        Ok(private_key) => Some(Located { value: private_key, place }),
        Err(fault) => {
            place.reject(format!("{}, accepted: {accepted}", fault.in_file(file.display())));
            None
        }
    }
}

/// A secret that others on the machine can read is no reason not to start, but one to say so.
fn look_at_permissions(file: &Path, place: &Place) {
    let Ok(metadata) = std::fs::metadata(file) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let shown = file.display();
        place.warn(format!("{shown} can be read by others (mode {mode:o}): chmod 600"));
    }
}

/// The text of a file that holds a secret, without the line ending.
pub(super) fn secret(table: &Table<'_>, key: &'static str) -> Option<String> {
    let accepted = "a readable file that holds the secret and nothing else";
    let Located { value: file, place } = path(table, key, accepted)?;
    let bytes = read(&file, &place, accepted)?;
    look_at_permissions(&file, &place);
    let text =
        String::from_utf8(bytes).ok().map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    let secret = text.filter(|text| !text.is_empty() && !text.contains(char::is_control));
    if secret.is_none() {
        place.reject(format!("{} holds no secret, accepted: {accepted}", file.display()));
    }
    secret
}

/// The symmetric key of a file: as many random bytes, raw or in base64 on one line.
pub(super) fn symmetric_key<const LENGTH: usize>(
    table: &Table<'_>,
    key: &'static str,
) -> Option<[u8; LENGTH]> {
    let accepted = format!("a file of {LENGTH} random bytes, raw or in base64");
    let Located { value: file, place } = path(table, key, &accepted)?;
    let bytes = read(&file, &place, &accepted)?;
    look_at_permissions(&file, &place);
    // No file is both: base64 of so many bytes is a third longer.
    let raw = <[u8; LENGTH]>::try_from(bytes.as_slice()).ok();
    let found = raw.or_else(|| STANDARD.decode(bytes.trim_ascii()).ok()?.try_into().ok());
    if found.is_none() {
        let (file, length) = (file.display(), bytes.len());
        place.reject(format!("{file} has {length} bytes that are no key, accepted: {accepted}"));
    }
    found
}

/// Reads a file, or reports that it cannot be read.
pub(super) fn read(file: &Path, place: &Place, accepted: &str) -> Option<Vec<u8>> {
    match std::fs::read(file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let file = file.display();
            place.reject(format!("{file} cannot be read ({error}), accepted: {accepted}"));
            None
        }
    }
}
