//! The files that an import reads: which they are, and never more of one than its bound.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::document::{Mistakes, Place};

/// The largest official specification has a third of a megabyte.
pub(super) const LARGEST_SPECIFICATION: u64 = 4 * 1024 * 1024;

/// Directories within directories: more than any repository of specifications has.
const DEEPEST: usize = 16;

/// The specifications among `sources`: files as they are named, and of directories each `.yaml` and
/// `.yml`, in the order of their paths.
pub(super) fn specifications(sources: &[PathBuf], mistakes: &Mistakes) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for source in sources {
        let before = files.len();
        let walked = if source.is_dir() {
            walk(source, DEEPEST, &mut files)
        } else {
            files.push(source.clone());
            Ok(())
        };
        let accepted = "accepted: OpenAPI files, or directories with .yaml files";
        let place = Place::of_file(&source.display().to_string(), mistakes);
        match walked {
            Err(error) => place.reject(format!("cannot be read ({error}), {accepted}")),
            Ok(()) if files.len() == before => place.reject(format!("has no file, {accepted}")),
            Ok(()) => {}
        }
    }
    files.sort();
    // A file may be named, and stand in a directory that is named as well.
    files.dedup();
    files
}

fn walk(directory: &Path, deeper: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // Of the link itself: a directory that a link leads to is not walked, so there is no circle.
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_yaml = path.extension().is_some_and(|name| name == "yaml" || name == "yml");
        if kind.is_dir() && deeper > 0 {
            walk(&path, deeper - 1, files)?;
        } else if is_yaml && !kind.is_dir() {
            files.push(path);
        }
    }
    Ok(())
}

/// The text of a file of at most `most` bytes, or a mistake.
pub(super) fn read(file: &Path, most: u64, mistakes: &Mistakes) -> Option<String> {
    let place = Place::of_file(&file.display().to_string(), mistakes);
    match read_bounded(file, most) {
        Ok(Some(text)) => Some(text),
        Ok(None) => {
            let most = most / (1024 * 1024);
            place
                .reject(format!("is larger than {most} MiB, accepted: a file of up to {most} MiB"));
            None
        }
        Err(error) => {
            place.reject(format!("cannot be read ({error}), accepted: a readable file in UTF-8"));
            None
        }
    }
}

fn read_bounded(file: &Path, most: u64) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    // One more than the bound, or a file of just that size could not be told from a longer one.
    let bytes = File::open(file)?.take(most + 1).read_to_string(&mut text);
    match bytes {
        // A character that the bound cuts in two is no fault of the file's.
        _ if std::fs::metadata(file)?.len() > most => Ok(None),
        Ok(read) if u64::try_from(read).is_ok_and(|read| read > most) => Ok(None),
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(error),
    }
}
