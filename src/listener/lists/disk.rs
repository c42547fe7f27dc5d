//! Where fetched lists are kept for the next start.
//!
//! A list is written beside its place and renamed into it, so that a crash leaves the old one or the new one.
//! What is read back is judged like anything that was fetched: the directory is no source of trust.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use url::Url;

/// Characters of a name that people read.
const READABLE: usize = 60;
/// Bytes of the digest that tells one URL from another.
const TOLD_APART: usize = 8;

/// The file of a distribution point: what its URL says, and a digest of it.
pub(super) fn file_of(directory: &Path, url: &Url) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let said = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    let said = said.trim_end_matches(".crl");
    let readable: String = said.chars().map(plain).take(READABLE).collect();
    let digest = digest(&SHA256, url.as_str().as_bytes());
    let told = digest.as_ref().iter().take(TOLD_APART).map(|byte| format!("{byte:02x}"));
    directory.join(format!("{readable}-{}.crl", told.collect::<String>()))
}

/// Writes a list; makes the directory if it is not there yet.
pub(super) fn keep(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(directory)?;
    // Lists are public, and people look at them.
    let readable = Permissions::from_mode(0o644);
    let mut builder = tempfile::Builder::new();
    let mut written = builder.prefix(".crl-").permissions(readable).tempfile_in(directory)?;
    written.write_all(bytes)?;
    written.as_file().sync_all()?;
    written.persist(file)?;
    // The rename is on the disk when the directory is.
    File::open(directory)?.sync_all()
}

/// Reads a list of at most so many bytes, if one was kept.
pub(super) fn recall(file: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    opened.take(bound).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(bytes))
}

/// Whether lists can be kept in a directory, or it can be made. Leaves nothing behind: whoever checks a
/// configuration may be another user than who runs it.
pub fn is_writable(directory: &Path) -> io::Result<()> {
    let there = directory.ancestors().find(|path| path.as_os_str().is_empty() || path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The message names a file that nobody knows.
    tempfile::tempfile_in(there).map(drop).map_err(|error| error.kind().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_distinct_and_stay_in_the_directory() {
        let name = |url: &str| {
            let file = file_of(Path::new("crl"), &Url::parse(url).unwrap());
            assert_eq!(file.parent(), Some(Path::new("crl")), "{url}");
            file.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let serpro = name("http://ccd.serpro.gov.br/lcr/acserprosslv1.crl");
        assert_eq!(serpro, "ccd.serpro.gov.br-lcr-acserprosslv1-dbfe2c68c5b24989.crl");
        for other in [
            "http://ccd.serpro.gov.br/lcr-acserprosslv1.crl",
            "https://ccd.serpro.gov.br/lcr/acserprosslv1.crl",
            "http://ccd.serpro.gov.br/lcr/acserprosslv1.crl?x=1",
            "http://ccd.serpro.gov.br/..%2f..%2fetc/passwd",
        ] {
            assert_ne!(name(other), serpro);
        }
        assert!(name(&format!("http://h/{}", "a".repeat(5000))).len() < 100);
    }

    #[test]
    fn what_is_kept_is_recalled_whole_and_within_its_bound() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("made/here/list.crl");
        assert!(is_writable(file.parent().unwrap()).is_ok());
        assert!(!place.path().join("made").exists(), "nothing is left behind");
        assert_eq!(recall(&file, 10).unwrap(), None);
        keep(&file, b"first").unwrap();
        keep(&file, b"second").unwrap();
        assert_eq!(recall(&file, 6).unwrap().as_deref(), Some(&b"second"[..]));
        assert_eq!(recall(&file, 5).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let under_a_file = file.join("below");
        assert!(is_writable(&under_a_file).is_err());
        assert!(keep(&under_a_file.join("list.crl"), b"x").is_err());
    }
}
