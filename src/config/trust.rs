//! What a listener trusts of its clients' certificates: `trust_anchors` and `revocation`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::document::{Located, Place, Table};
use super::{Kept, pem, values};
use crate::identity::verifier::{ClientVerifier, Witness};
use crate::identity::{
    Leniency, PathFault, PathRules, PathVerifier, Revocation, RevocationList, SubjectRules, Trust,
    TrustAnchors, TrustDomain,
};
use crate::listener::Clients;
use crate::listener::tls::provider;
use crate::moment::Moment;
use crate::report::Metrics;

const LISTS: &str = "files of revocation lists, PEM or DER";
const ONE_WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Reads what the listener `name` trusts. A domain of that name goes on with another trust, so that the
/// connections that are open meet it.
pub(super) fn read_clients(
    table: &Table<'_>,
    name: &str,
    rules: &SubjectRules,
    metrics: &Metrics,
    before: Option<&Kept>,
) -> Option<Clients> {
    let anchors = read_anchors(table);
    let revocation = match table.table("revocation") {
        Some(table) => Some(Arc::new(read_revocation(&table)?)),
        None if table.has("revocation") => return None,
        None => None,
    };
    let paths = PathVerifier {
        anchors: anchors?,
        rules: PathRules::OF_LISTENERS,
        revocation,
        algorithms: provider().signature_verification_algorithms,
    };
    let verifier = ClientVerifier::new(paths, Some(witness(name, metrics)));
    let trust = Arc::new(Trust::new(verifier, rules.clone()));
    let kept = before.and_then(|kept| kept.domains.get(name).cloned());
    let domain = kept.unwrap_or_else(|| Arc::new(TrustDomain::new(trust.clone())));
    Some(Clients { trust, domain })
}

/// Counts and logs what is refused, with what is needed to find the certificate and nothing more.
fn witness(name: &str, metrics: &Metrics) -> Witness {
    let counter = metrics.certificate_refusals();
    let listener = name.to_owned();
    Arc::new(move |fault: &PathFault| {
        let reason = fault.reason.to_string();
        counter.with_label_values(&[listener.as_str(), reason.as_str()]).inc();
        let culprit = fault.certificate.as_ref();
        tracing::info!(
            listener,
            reason,
            subject = culprit.map(|c| c.subject.as_str()),
            issuer = culprit.map(|c| c.issuer.as_str()),
            serial = culprit.map(|c| c.serial.as_str()),
            "client certificate refused"
        );
    })
}

fn read_anchors(table: &Table<'_>) -> Option<TrustAnchors> {
    let Located { value: roots, place } = pem::certificates(table, "trust_anchors")?;
    let anchors = TrustAnchors::new(roots).map_err(|error| {
        place.reject(format!("is not usable: {error}, accepted: self-signed root certificates"));
    });
    let anchors = anchors.ok()?;
    let now = i64::try_from(Moment::now().unix_seconds()).unwrap_or(i64::MAX);
    if anchors.earliest_expiry().is_some_and(|expiry| expiry < now) {
        place.warn("has an expired root, which admits nobody");
    }
    Some(anchors)
}

fn read_revocation(table: &Table<'_>) -> Option<Revocation> {
    let files = table.strings("lists", LISTS);
    if files.is_none() && !table.has("lists") {
        table.place("lists").reject(format!("is missing, accepted: {LISTS}"));
    }
    let missing = table.parsed("missing", "\"refuse\" or \"allow\"", |text| match text {
        "refuse" => Some(Leniency::Refuse),
        "allow" => Some(Leniency::AllowFor(Duration::MAX)),
        _ => None,
    });
    let accepted = "\"refuse\", or a duration up to 7d for which an expired list still counts";
    let expired = table.parsed("expired", accepted, |text| match text {
        "refuse" => Some(Leniency::Refuse),
        text => values::duration(text).filter(|d| *d <= ONE_WEEK).map(Leniency::AllowFor),
    });
    let Located { value: files, place } = files?;
    let mut lists = Vec::new();
    for file in &files {
        lists.extend(read_lists(&table.directory().join(file), &place)?);
    }
    let leniency =
        |read: Option<Located<Leniency>>| read.map_or(Leniency::Refuse, |read| read.value);
    Some(Revocation::new(lists, leniency(missing), leniency(expired)))
}

/// The lists of a file; a list that is not one is a mistake, and the ones in force stay.
fn read_lists(file: &Path, place: &Place) -> Option<Vec<RevocationList>> {
    let bytes = pem::read(file, place, LISTS)?;
    let source = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let source = source.unwrap_or_default();
    RevocationList::read_all(&bytes, &source)
        .map_err(|error| {
            place.reject(format!("{} is not usable ({error}), accepted: {LISTS}", file.display()));
        })
        .ok()
}
