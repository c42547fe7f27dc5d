//! What a listener trusts of its clients' certificates.

use std::sync::Arc;

use super::Assembler;
use super::points::Points;
use crate::config::{Filed, LISTS, RevocationSettings, TrustSettings};
use crate::identity::revocation::ListWitness;
use crate::identity::verifier::{ClientVerifier, PathWitness};
use crate::identity::{
    FindingWitness, Level, PathFault, PathRules, PathVerifier, Profile, Revocation, RevocationList,
    Trust, TrustDomain,
};
use crate::listener::Clients;
use crate::listener::tls::provider;
use crate::moment::Moment;
use crate::report::Metrics;
use crate::services::lists::Point;

impl Assembler<'_> {
    /// What the listener `name` trusts, and from where its lists come. A domain of that name goes on with another
    /// trust, so that the connections that are open meet it.
    pub(super) fn clients(
        &self,
        settings: TrustSettings,
        name: &str,
        profile: &Profile,
        points: &Points,
    ) -> Option<(Clients, Vec<Arc<Point>>)> {
        let domain = self.before.and_then(|kept| kept.domains.get(name));
        let (revocation, points) = match settings.revocation {
            Some(revocation) => {
                // Held against what is in force: a file that is older than that would let revoked
                // certificates in again.
                let in_force = domain.map(|domain| domain.lists()).unwrap_or_default();
                let (revocation, points) = self.revocation(revocation, &in_force, points)?;
                (Some(Arc::new(revocation.with_witness(overdue_witness(name)))), points)
            }
            None => (None, Vec::new()),
        };
        let paths = PathVerifier {
            anchors: settings.anchors,
            rules: PathRules::OF_LISTENERS,
            revocation,
            algorithms: provider().signature_verification_algorithms,
        };
        let verifier = ClientVerifier::new(paths, Some(witness(name, self.metrics)));
        let findings = Some(finding_witness(name, self.metrics));
        let trust = Arc::new(Trust::new(verifier, profile.clone(), findings));
        let domain = domain.cloned().unwrap_or_else(|| Arc::new(TrustDomain::new(trust.clone())));
        Some((Clients { trust, domain }, points))
    }

    /// Lists in files and lists that are fetched: what there is of one lies beside what there is of the other.
    fn revocation(
        &self,
        settings: RevocationSettings,
        in_force: &[Arc<RevocationList>],
        points: &Points,
    ) -> Option<(Revocation, Vec<Arc<Point>>)> {
        let RevocationSettings { authorities, filed, points: wanted, missing, expired, at } =
            settings;
        let issuers = authorities.issuers;
        let wanted: Vec<Option<Arc<Point>>> =
            wanted.into_iter().map(|point| self.point(point, &issuers, points)).collect();
        let points: Vec<Arc<Point>> = wanted.into_iter().collect::<Option<_>>()?;
        let files = filed.iter().map(|filed| filed.list.clone()).collect();
        let fetched = points.iter().map(|point| point.list().clone()).collect();
        let revocation = Revocation::new(files, missing, expired)
            .with_fetched(fetched)
            .with_authorities(issuers);
        let is_whole = self.judge(&revocation, &filed, in_force);
        let uncovered = revocation.uncovered(seconds(Moment::now()));
        // With distribution points it is known only when they were asked.
        if is_whole && points.is_empty() && !uncovered.is_empty() {
            let names = uncovered.join("; ");
            self.mistakes.at(&at).reject(format!(
                "has no list of {names}: every certificate of theirs would be refused, accepted: a list in \
                 force of each trust anchor and issuer, or missing = \"allow\""
            ));
        }
        Some((revocation, points))
    }

    /// Refuses files whose lists must not count beside what is in force. Gives whether there is none.
    fn judge(
        &self,
        revocation: &Revocation,
        filed: &[Filed],
        in_force: &[Arc<RevocationList>],
    ) -> bool {
        let now = seconds(Moment::now());
        let mut is_whole = true;
        for Filed { list, file, at } in filed {
            let place = self.mistakes.at(at);
            let at = if list.line > 0 { format!("{file}:{}", list.line) } else { file.clone() };
            match revocation.judge_file(list, in_force, now) {
                Err(fault) => {
                    is_whole = false;
                    place.reject(format!("{at} is not usable: {fault}, accepted: {LISTS}"));
                }
                // Borne by `expired`, or it would have been refused above.
                Ok(()) if list.is_expired(now) => {
                    place.warn(format!("{at} is past its nextUpdate, and counts as expired says"));
                }
                Ok(()) => {}
            }
        }
        is_whole
    }
}

pub(super) fn seconds(moment: Moment) -> i64 {
    i64::try_from(moment.unix_seconds()).unwrap_or(i64::MAX)
}

/// Counts and logs what is refused, with what is needed to find the certificate and nothing more.
fn witness(name: &str, metrics: &Metrics) -> PathWitness {
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
