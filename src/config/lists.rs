//! The revocation lists of a listener: whose are accepted, the files of them, and whether there are enough for
//! anybody to get through.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::document::{Located, Spot, Table};
use super::pem;
use crate::identity::{ListIssuers, RevocationList};

/// What a file of lists is.
pub const LISTS: &str =
    "files of lists, PEM or DER, each signed by a trust anchor or one of issuers, and in time";
const ISSUERS: &str = "a PEM file with the authorities that sign the lists";

/// Whose lists are accepted.
#[derive(Debug)]
pub struct Authorities {
    /// Anchors and issuers.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// The same, as lists are verified with them.
    pub issuers: Arc<ListIssuers>,
}

/// Reads `issuers`, which stands beside the anchors: with files only it may be left out.
pub(super) fn read_authorities(
    table: &Table<'_>,
    anchors: Option<&[CertificateDer<'static>]>,
) -> Option<Authorities> {
    let others = match table.has("issuers") || table.has("distribution_points") {
        true => Some(pem::certificates(table, "issuers")?),
        false => None,
    };
    let ders = others.as_ref().map(|others| others.value.ders.as_slice()).unwrap_or_default();
    // Where they are not read, every list would be a stranger's: what is wrong is said of them alone.
    let anchors = anchors?;
    let issuers = ListIssuers::new(anchors, ders).map_err(|position| {
        if let Some(Located { value: file, place }) = &others {
            let at = file.at(position);
            place.reject(format!("{at} is no authority's certificate, accepted: {ISSUERS}"));
        }
    });
    let certificates = [anchors, ders].concat().into();
    Some(Authorities { certificates, issuers: Arc::new(issuers.ok()?) })
}

/// A list of a file, and where to say what is wrong with it.
#[derive(Debug)]
pub struct Filed {
    /// The list.
    pub list: Arc<RevocationList>,
    /// Its file.
    pub file: String,
    /// Where that is named.
    pub at: Spot,
}

/// Reads the files; what is no list of one of the authorities is a mistake, and the lists in force stay.
pub(super) fn read_files(
    table: &Table<'_>,
    authorities: Option<&Authorities>,
) -> Option<Vec<Filed>> {
    if !table.has("lists") {
        return Some(Vec::new());
    }
    let Located { value: names, place } = table.strings("lists", LISTS)?;
    let authorities = authorities?;
    let (mut filed, mut is_whole) = (Vec::new(), true);
    for name in &names {
        let path = table.directory().join(name);
        let source = path.file_name().map(|name| name.to_string_lossy().into_owned());
        // The other files are read all the same, so that all mistakes are told at once.
        let Some(bytes) = pem::read(&path, &place, LISTS) else {
            is_whole = false;
            continue;
        };
        let file = path.display().to_string();
        match authorities.issuers.read_file(&bytes, &source.unwrap_or_default()) {
            Ok(lists) => filed.extend(lists.into_iter().map(|list| Filed {
                list: Arc::new(list),
                file: file.clone(),
                at: place.spot(),
            })),
            Err(misfits) => {
                is_whole = false;
                for misfit in misfits {
                    place.reject(format!("{}, accepted: {LISTS}", misfit.in_file(&file)));
                }
            }
        }
    }
    is_whole.then_some(filed)
}
