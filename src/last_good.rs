//! What was fetched last and held good, kept on disk for the next start: revocation lists, key sets.
//!
//! A document is written beside its place and renamed into it, so that a crash leaves the old one or the new
//! one. What is read back is bounded, and whoever reads it judges it like anything that was fetched; a place
//! that everybody on the machine may write to is told, for documents that nobody signed.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

/// Characters of a file's name that people read.
const READABLE: usize = 60;
/// Bytes of the digest that tells one name from another.
const TOLD_APART: usize = 8;
/// What is kept is public; people look at it.
const MODE: u32 = 0o644;
const WRITABLE_BY_ALL: u32 = 0o002;

/// The place of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood(PathBuf);

impl LastGood {
    /// The place of the document of a name, such as a URL, in a directory; `extension` says what it is.
    pub fn of(directory: &Path, name: &str, extension: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let said = name.split_once("://").map_or(name, |(_, rest)| rest);
        let said = said.strip_suffix(extension).unwrap_or(said).trim_end_matches('.');
        let readable: String = said.chars().map(plain).take(READABLE).collect();
        let digest = digest(&SHA256, name.as_bytes());
        let told = digest.as_ref().iter().take(TOLD_APART).map(|byte| format!("{byte:02x}"));
        Self(directory.join(format!("{readable}-{}.{extension}", told.collect::<String>())))
    }

    /// Its file.
    pub fn file(&self) -> &Path {
        &self.0
    }

    /// Writes a document; makes the directory if it is not there yet.
    pub fn keep(&self, document: &[u8]) -> io::Result<()> {
        let directory = self.directory()?;
        fs::create_dir_all(directory)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".kept-").permissions(Permissions::from_mode(MODE));
        let mut written = builder.tempfile_in(directory)?;
        written.write_all(document)?;
        // Before the rename: a name on the disk must not lead to a file that is not.
        written.as_file().sync_all()?;
        written.persist(&self.0)?;
        // The rename is on the disk when the directory is.
        File::open(directory)?.sync_all()
    }

    /// Reads a document of at most so many bytes, if one was kept.
    pub fn recall(&self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let opened = match File::open(&self.0) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut document = Vec::new();
        // One more than the bound, so that what is too long can be told from what just fits.
        let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        opened.take(bound).read_to_end(&mut document)?;
        if document.len() > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(document))
    }

    /// Removes what was kept.
    pub fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether anybody on the machine could have put there what is kept.
    pub fn is_open_to_everybody(&self) -> io::Result<bool> {
        Ok(mode_of(&self.0)? & WRITABLE_BY_ALL != 0 || is_open_to_everybody(self.directory()?)?)
    }

    fn directory(&self) -> io::Result<&Path> {
        self.0.parent().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode())
}

/// The directory, or where it would be made.
fn there(directory: &Path) -> &Path {
    let there = directory.ancestors().find(|path| path.as_os_str().is_empty() || path.exists());
    there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether documents can be kept in a directory, or it can be made. Leaves nothing behind: whoever checks a
/// configuration may be another user than who runs it.
pub fn is_writable(directory: &Path) -> io::Result<()> {
    // The message names a file that nobody knows.
    tempfile::tempfile_in(there(directory)).map(drop).map_err(|error| error.kind().into())
}

/// Whether everybody on the machine may put documents into a directory, or make it.
pub fn is_open_to_everybody(directory: &Path) -> io::Result<bool> {
    Ok(mode_of(there(directory))? & WRITABLE_BY_ALL != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_distinct_and_stay_in_the_directory() {
        let name = |url: &str, extension: &str| {
            let kept = LastGood::of(Path::new("kept"), url, extension);
            assert_eq!(kept.file().parent(), Some(Path::new("kept")), "{url}");
            kept.file().file_name().unwrap().to_str().unwrap().to_owned()
        };
        let issuer = name("https://as.example.com.br/a", "json");
        assert!(
            issuer.starts_with("as.example.com.br-a-") && issuer.ends_with(".json"),
            "{issuer}"
        );
        let serpro = name("http://ccd.serpro.gov.br/lcr/acserprosslv1.crl", "crl");
        assert_eq!(serpro, "ccd.serpro.gov.br-lcr-acserprosslv1-dbfe2c68c5b24989.crl");
        for other in [
            "http://ccd.serpro.gov.br/lcr-acserprosslv1.crl",
            "https://ccd.serpro.gov.br/lcr/acserprosslv1.crl",
            "http://ccd.serpro.gov.br/lcr/acserprosslv1.crl?x=1",
            "http://ccd.serpro.gov.br/..%2f..%2fetc/passwd",
            "https://x/../../etc",
        ] {
            assert_ne!(name(other, "crl"), serpro);
        }
        assert!(name(&format!("https://h/{}", "a".repeat(5000)), "crl").len() < 100);
    }

    #[test]
    fn what_is_kept_is_recalled_whole_and_within_its_bound() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("made/here");
        let kept = LastGood::of(&directory, "name", "json");
        assert!(is_writable(&directory).is_ok());
        assert!(!place.path().join("made").exists(), "nothing is left behind");
        assert_eq!(kept.recall(10).unwrap(), None);
        kept.keep(b"first").unwrap();
        kept.keep(b"second").unwrap();
        assert_eq!(kept.recall(6).unwrap().as_deref(), Some(&b"second"[..]));
        assert_eq!(kept.recall(5).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        let under_a_file = kept.file().join("below");
        assert!(is_writable(&under_a_file).is_err());
        assert!(LastGood::of(&under_a_file, "name", "json").keep(b"x").is_err());
        kept.forget().unwrap();
        kept.forget().unwrap();
        assert_eq!(kept.recall(10).unwrap(), None);
    }

    #[test]
    fn a_place_that_everybody_may_write_to_is_told() {
        let place = tempfile::tempdir().unwrap();
        let kept = LastGood::of(place.path(), "name", "json");
        kept.keep(b"good").unwrap();
        assert!(!kept.is_open_to_everybody().unwrap());
        let open_to = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        open_to(kept.file(), 0o646);
        assert!(kept.is_open_to_everybody().unwrap());
        open_to(kept.file(), 0o644);
        open_to(place.path(), 0o1777);
        assert!(kept.is_open_to_everybody().unwrap());
        assert!(is_open_to_everybody(place.path()).unwrap());
        assert!(is_open_to_everybody(&place.path().join("new")).unwrap());
        open_to(place.path(), 0o755);
        assert!(!is_open_to_everybody(&place.path().join("new")).unwrap());
    }
}
