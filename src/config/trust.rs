//! What a listener trusts of its clients' certificates: `trust_anchors` and `revocation`.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::document::{Located, Table};
use super::lists::{self, Authorities};
use super::pem::Certificates;
use super::points::{self, Points};
use super::{Kept, pem, values};
use crate::identity::revocation::ListWitness;
use crate::identity::verifier::{ClientVerifier, Witness};
use crate::identity::{
    FindingWitness, Leniency, Level, PathFault, PathRules, PathVerifier, Profile, Revocation,
    RevocationList, Trust, TrustAnchors, TrustDomain,
};
use crate::listener::Clients;
use crate::listener::lists::Point;
use crate::listener::tls::provider;
use crate::moment::Moment;
use crate::report::Metrics;

const ONE_WEEK: Duration = Duration::from_secs(7 * 86_400);

/// What the listeners of one configuration are read with.
pub(super) struct Reading<'a> {
    pub(super) profile: Profile,
    pub(super) metrics: &'a Metrics,
    pub(super) before: Option<&'a Kept>,
    pub(super) points: Points,
}

/// Reads what the listener `name` trusts, and from where its lists come. A domain of that name goes on with
/// another trust, so that the connections that are open meet it.
pub(super) fn read_clients(
    table: &Table<'_>,
    name: &str,
    reading: &Reading<'_>,
) -> Option<(Clients, Vec<Arc<Point>>)> {
    let roots = pem::certificates(table, "trust_anchors");
    let certificates = roots.as_ref().map(|roots| roots.value.ders.clone());
    let anchors = roots.and_then(read_anchors);
    let (revocation, points) = match table.table("revocation") {
        Some(table) => {
            let before = reading.before.and_then(|kept| kept.domains.get(name));
            let in_force = before.map(|domain| domain.lists()).unwrap_or_default();
            let (revocation, points) =
                read_revocation(&table, certificates.as_deref(), &in_force, reading)?;
            (Some(Arc::new(revocation.with_witness(overdue_witness(name)))), points)
        }
        None if table.has("revocation") => return None,
        None => (None, Vec::new()),
    };
    let paths = PathVerifier {
        anchors: anchors?,
        rules: PathRules::OF_LISTENERS,
        revocation,
        algorithms: provider().signature_verification_algorithms,
    };
    let verifier = ClientVerifier::new(paths, Some(witness(name, reading.metrics)));
    let findings = Some(finding_witness(name, reading.metrics));
    let trust = Arc::new(Trust::new(verifier, reading.profile.clone(), findings));
    let kept = reading.before.and_then(|kept| kept.domains.get(name).cloned());
    let domain = kept.unwrap_or_else(|| Arc::new(TrustDomain::new(trust.clone())));
    Some((Clients { trust, domain }, points))
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

/// Says of a list that it counts though it is overdue: once of each, for the handshakes would say it all day.
fn overdue_witness(name: &str) -> ListWitness {
    let listener = name.to_owned();
    Arc::new(move |list: &RevocationList| {
        let (source, next_update) = (list.source.as_str(), list.next_update);
        tracing::warn!(listener, source, next_update, "revocation list used past its nextUpdate");
    })
}

/// Counts and logs what certificates break of the profile.
fn finding_witness(name: &str, metrics: &Metrics) -> FindingWitness {
    let counter = metrics.certificate_findings();
    let listener = name.to_owned();
    Arc::new(move |findings, culprit| {
        for finding in findings {
            let (rule, level) = (finding.rule.name(), finding.level.name());
            counter.with_label_values(&[listener.as_str(), rule, level]).inc();
        }
        let of = |level: Level| -> String {
            let rules = findings.iter().filter(|finding| finding.level == level);
            rules.map(|finding| finding.rule.name()).collect::<Vec<_>>().join(" ")
        };
        tracing::info!(
            listener,
            enforced = of(Level::Enforce),
            warned = of(Level::Warn),
            subject = culprit.subject,
            issuer = culprit.issuer,
            serial = culprit.serial,
            "client certificate breaks the profile"
        );
    })
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
    in_force: &[Arc<RevocationList>],
    reading: &Reading<'_>,
) -> Option<(Revocation, Vec<Arc<Point>>)> {
    if !table.has("lists") && !table.has("distribution_points") {
        table.place("").reject("has no list, accepted: lists, distribution_points or both");
    }
    let authorities = lists::read_authorities(table, anchors);
    let filed = lists::read_files(table, authorities.as_ref());
    let points = points::read(table, authorities.as_ref(), &reading.points, reading.before);
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
    let is_lenient_as_meant = (missing.is_some() || !table.has("missing"))
        && (expired.is_some() || !table.has("expired"));
    let (filed, points, Authorities { issuers, .. }) = (filed?, points?, authorities?);
    let leniency =
        |read: Option<Located<Leniency>>| read.map_or(Leniency::Refuse, |read| read.value);
    let files = filed.iter().map(|filed| filed.list.clone()).collect();
    let fetched = points.iter().map(|point| point.list().clone()).collect();
    let revocation = Revocation::new(files, leniency(missing), leniency(expired))
        .with_fetched(fetched)
        .with_authorities(issuers);
    // Under another leniency than the one that was meant, nothing follows.
    if is_lenient_as_meant {
        lists::judge(table, &revocation, &filed, in_force);
    }
    Some((revocation, points))
}
