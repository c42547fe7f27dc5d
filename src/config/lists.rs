//! The revocation lists of a listener: whose are accepted, the files of them, and whether there are enough for
//! anybody to get through.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::document::{Located, Place, Table};
use super::pem;
use crate::identity::{ListIssuers, Revocation, RevocationList};
use crate::moment::Moment;

const LISTS: &str =
    "files of lists, PEM or DER, each signed by a trust anchor or one of issuers, and in time";
const ISSUERS: &str = "a PEM file with the authorities that sign the lists";

/// Whose lists are accepted.
pub(super) struct Authorities {
    /// Anchors and issuers.
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
    pub(super) issuers: Arc<ListIssuers>,
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
pub(super) struct Filed {
    pub(super) list: Arc<RevocationList>,
    file: String,
    place: Place,
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
        let Some(bytes) = pem::read(&path, &place, LISTS) else {
            is_whole = false;
            continue;
        };
        let file = path.display().to_string();
        match authorities.issuers.read_file(&bytes, &source.unwrap_or_default()) {
            Ok(lists) => filed.extend(lists.into_iter().map(|list| Filed {
                list: Arc::new(list),
                file: file.clone(),
                place: place.clone(),
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

/// Refuses files whose lists must not count beside what is in force, and a table under which nobody could get
/// through. With distribution points the latter is known only when they were asked.
pub(super) fn judge(
    table: &Table<'_>,
    revocation: &Revocation,
    filed: &[Filed],
    in_force: &[Arc<RevocationList>],
) {
    let now = i64::try_from(Moment::now().unix_seconds()).unwrap_or(i64::MAX);
    let mut is_whole = true;
    for Filed { list, file, place } in filed {
        let at = if list.line > 0 { format!("{file}:{}", list.line) } else { file.clone() };
        match revocation.judge_file(list, in_force, now) {
            Err(fault) => {
                is_whole = false;
                place.reject(format!("{at} is not usable: {fault}, accepted: {LISTS}"));
            }
            Ok(()) if list.is_expired(now) => {
                place.warn(format!("{at} is past its nextUpdate, and counts as expired says"));
            }
            Ok(()) => {}
        }
    }
    let uncovered = revocation.uncovered(now);
    if is_whole && table.has("lists") && !table.has("distribution_points") && !uncovered.is_empty()
    {
        let names = uncovered.join("; ");
        table.place("").reject(format!(
            "has no list of {names}: every certificate of theirs would be refused, accepted: a list in \
             force of each trust anchor and issuer, or missing = \"allow\""
        ));
    }
}
