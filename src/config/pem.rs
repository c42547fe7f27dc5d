//! Certificates and keys in PEM files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::document::{Located, Place, Table};

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
pub(super) fn certificates(
    table: &Table<'_>,
    key: &'static str,
) -> Option<Located<Vec<CertificateDer<'static>>>> {
    let accepted = "a PEM file with certificates";
    let Located { value: file, place } = path(table, key, accepted)?;
    let pem = read(&file, &place, accepted)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => {
            Some(Located { value: certificates, place })
        }
        Ok(_) => {
            place.reject(format!("{} has no certificate, accepted: {accepted}", file.display()));
            None
        }
        Err(error) => {
            place.reject(format!("{} is not PEM ({error}), accepted: {accepted}", file.display()));
            None
        }
    }
}

/// The private key of a file.
pub(super) fn private_key(
    table: &Table<'_>,
    key: &'static str,
) -> Option<Located<PrivateKeyDer<'static>>> {
    let accepted = "a PEM file with one unencrypted private key";
    let Located { value: file, place } = path(table, key, accepted)?;
    let pem = read(&file, &place, accepted)?;
    look_at_permissions(&file, &place);
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(private_key) => Some(Located { value: private_key, place }),
        Err(_) => {
            place.reject(format!("{} has no private key, accepted: {accepted}", file.display()));
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
    let text = String::from_utf8(bytes).ok().map(|text| text.trim_end().to_owned());
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
