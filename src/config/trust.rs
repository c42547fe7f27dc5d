//! What a listener trusts of its clients' certificates: `trust_anchors` and `revocation`.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::document::{Located, Spot, Table};
use super::lists::{self, Authorities, Filed};
use super::pem;
use super::pem::Certificates;
use super::points::{self, PointSettings};
use crate::identity::{Leniency, TrustAnchors};
use crate::moment::Moment;

/// What a listener trusts of its clients' certificates.
#[derive(Debug)]
pub struct TrustSettings {
    /// Where paths end.
    pub anchors: TrustAnchors,
    /// Who may revoke, and where it is said.
    pub revocation: Option<RevocationSettings>,
}

/// What `revocation` says.
#[derive(Debug)]
pub struct RevocationSettings {
    /// Whose lists are accepted.
    pub authorities: Authorities,
    /// The lists in files.
    pub filed: Vec<Filed>,
    /// Where others are fetched from.
    pub points: Vec<PointSettings>,
    /// What it means that an authority has no list.
    pub missing: Leniency,
    /// What it means that its list is past its time.
    pub expired: Leniency,
    /// Where it stands.
    pub at: Spot,
}

/// Reads what a listener trusts.
pub(super) fn read_trust(table: &Table<'_>) -> Option<TrustSettings> {
    let roots = pem::certificates(table, "trust_anchors");
    let certificates = roots.as_ref().map(|roots| roots.value.ders.clone());
    let anchors = roots.and_then(read_anchors);
    let revocation = match table.table("revocation") {
        Some(table) => Some(read_revocation(&table, certificates.as_deref())?),
        // Of another type, which is told: it must not pass for nobody being looked up.
        None if table.has("revocation") => return None,
        None => None,
    };
    Some(TrustSettings { anchors: anchors?, revocation })
}

fn read_anchors(roots: Located<Certificates>) -> Option<TrustAnchors> {
    let Located { value: roots, place } = roots;
    let anchors = TrustAnchors::new(roots.ders.clone()).map_err(|error| {
        let at = error.position().map_or_else(String::new, |position| roots.at(position) + " ");
        place
            .reject(format!("{at}is not usable: {error}, accepted: self-signed root certificates"));
    });
    let anchors = anchors.ok()?;
    let now = i64::try_from(Moment::now().unix_seconds()).unwrap_or(i64::MAX);
    // A warning: the other roots of the file admit their clients all the same.
    if anchors.earliest_expiry().is_some_and(|expiry| expiry < now) {
        place.warn("has an expired root, which admits nobody");
    }
    Some(anchors)
}

/// Reads lists in files and lists that are fetched; what there is of one lies beside what there is of the
/// other.
fn read_revocation(
    table: &Table<'_>,
    anchors: Option<&[CertificateDer<'static>]>,
) -> Option<RevocationSettings> {
    let has_any = table.has("lists") || table.has("distribution_points");
    if !has_any {
        table.place("").reject("has no list, accepted: lists, distribution_points or both");
    }
    let authorities = lists::read_authorities(table, anchors);
    let filed = lists::read_files(table, authorities.as_ref());
    let points = points::read(table, authorities.as_ref());
    let missing = table.choice("missing", |text| match text {
        "refuse" => Some(Leniency::Refuse),
        // What was never there has no time from which to count.
        "allow" => Some(Leniency::AllowFor(Duration::MAX)),
        _ => None,
    });
    let expired = table.duration_or_word("expired").map(|read| Located {
        value: read.value.map_or(Leniency::Refuse, Leniency::AllowFor),
        place: read.place,
    });
    // Under another leniency than the one that was meant, nothing follows.
    let leniency = |read: Option<Located<Leniency>>, key| match read {
        Some(read) => Some(read.value),
        None => (!table.has(key)).then_some(Leniency::Refuse),
    };
    let settings = RevocationSettings {
        authorities: authorities?,
        filed: filed?,
        points: points?,
        missing: leniency(missing, "missing")?,
        expired: leniency(expired, "expired")?,
        at: table.place("").spot(),
    };
    has_any.then_some(settings)
}
