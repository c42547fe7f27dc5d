//! What a listener presents and negotiates: `certificate`, `private_key`, `additional_certificates`, `tls`.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::document::{Located, Place, Table};
use super::{Kept, pem};
use crate::listener::parameters::{self, Parameters, ParametersError};
use crate::listener::presented::Presented;
use crate::listener::{ByName, ServerIdentity};
use crate::moment::Moment;

/// The certificates of a listener, and when the first of them expires.
pub(super) struct Certificates {
    pub(super) by_name: ByName,
    pub(super) expiry: Option<i64>,
    /// The servers' own.
    pub(super) end_entities: Vec<CertificateDer<'static>>,
}

/// Reads the listener's certificate, and those for other names.
pub(super) fn read_certificates(
    table: &Table<'_>,
    parameters: &Parameters,
    now: Moment,
    before: Option<&Kept>,
) -> Option<Certificates> {
    let first = read_certificate(table, parameters, now, before);
    let mut expiry = first.as_ref().and_then(|(_, expiry)| *expiry);
    let mut names: Vec<String> =
        first.iter().flat_map(|(presented, _)| presented.names.clone()).collect();
    let mut others = Vec::new();
    let mut is_whole = true;
    for table in table.tables("additional_certificates") {
        let Some((presented, ends)) = read_certificate(&table, parameters, now, before) else {
            is_whole = false;
            continue;
        };
        if presented.names.iter().all(|name| names.contains(name)) {
            table.place("certificate").reject(
                "has no host name that those before it do not have, accepted: a certificate with one",
            );
        }
        names.extend(presented.names.iter().cloned());
        expiry = [expiry, ends].into_iter().flatten().min();
        others.push(presented);
    }
    let first = first?.0;
    let presented = std::iter::once(&first).chain(&others);
    let end_entities = presented.filter_map(Presented::end_entity).cloned().collect();
    let by_name = ByName::new(first, others);
    is_whole.then_some(Certificates { by_name, expiry, end_entities })
}

fn read_certificate(
    table: &Table<'_>,
    parameters: &Parameters,
    now: Moment,
    before: Option<&Kept>,
) -> Option<(Presented, Option<i64>)> {
    let chain = pem::chain(table, "certificate");
    chain.iter().for_each(look_for_issuers);
    let expiry = chain.as_ref().and_then(|chain| look_at_validity(chain, now, before));
    let key = pem::private_key(table, "private_key");
    let (chain, key) = (chain?.value, key?);
    let identity = ServerIdentity { chain: chain.ders, key: key.value };
    match identity.certified(parameters.provider()) {
        Ok(presented) => Some((presented, expiry)),
        Err(error) => {
            reject_key(&key.place, &error);
            None
        }
    }
}

fn reject_key(place: &Place, error: &rustls::Error) {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            place.reject("does not belong to the certificate, accepted: the certificate's own key");
        }
        error => place.reject(format!("cannot be used ({error}), accepted: an RSA key")),
    }
}

/// Clients may have the authorities between the certificate and its root; nobody can tell from here.
fn look_for_issuers(chain: &Located<pem::Certificates>) {
    let [alone] = chain.value.ders.as_slice() else {
        return;
    };
    let names = X509Certificate::from_der(alone)
        .map(|(_, parsed)| parsed.subject().as_raw() == parsed.issuer().as_raw());
    if names.is_ok_and(|is_self_issued| !is_self_issued) {
        chain.place.warn(
            "has the server's certificate alone: a client that does not have the authorities between it \
             and the root will refuse it",
        );
    }
}

/// A certificate that clients will not take is no reason not to start, but one to say so. A reload does not
/// bring it: what is presented now is taken. Gives when it expires.
fn look_at_validity(
    chain: &Located<pem::Certificates>,
    now: Moment,
    before: Option<&Kept>,
) -> Option<i64> {
    let der = chain.value.ders.first()?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let seconds = i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX);
    let what = match () {
        () if validity.not_after.timestamp() < seconds => {
            format!("the certificate expired on {}", validity.not_after)
        }
        () if validity.not_before.timestamp() > seconds => {
            format!("the certificate is not valid before {}", validity.not_before)
        }
        () => return Some(validity.not_after.timestamp()),
    };
    let at = chain.value.at(1);
    if before.is_some_and(|kept| !kept.presented.contains(der)) {
        chain.place.reject(format!("{at}: {what}, accepted: one that clients take now"));
    } else {
        chain.place.warn(format!("{what}: clients will refuse it"));
    }
    Some(validity.not_after.timestamp())
}

/// Reads `tls`: the preset, and what is said instead of it.
pub(super) fn read_parameters(table: &Table<'_>) -> Option<Parameters> {
    let Some(table) = table.table("tls") else {
        return (!table.has("tls")).then(Parameters::fapi_br);
    };
    let preset = |text: &str| (text == "fapi-br").then_some(());
    let is_preset_wrong =
        table.parsed("preset", "\"fapi-br\"", preset).is_none() && table.has("preset");
    let versions = read_list(&table, "versions", &["1.2", "1.3"], parameters::version);
    let suites = read_list(&table, "cipher_suites", &parameters::suite_names(), parameters::suite);
    let groups = read_list(&table, "groups", &parameters::group_names(), parameters::group);
    if is_preset_wrong {
        return None;
    }
    let (versions, suites, groups) = (versions?, suites?, groups?);
    match Parameters::new(versions, suites, groups) {
        Ok(parameters) => {
            warn_of_others(&table, &parameters);
            Some(parameters)
        }
        Err(ParametersError::NoSuite(version)) => {
            let text = format!("has none of TLS {version}, accepted: one for each of versions");
            table.place("cipher_suites").reject(text);
            None
        }
        Err(ParametersError::NoVersion(suite)) => {
            let text = format!("{suite} is of no version of versions, accepted: suites of those");
            table.place("cipher_suites").reject(text);
            None
        }
    }
}

fn warn_of_others(table: &Table<'_>, parameters: &Parameters) {
    let others = parameters.suites_beyond_fapi_br();
    if !others.is_empty() {
        let text = format!("{} are not of the FAPI-BR profile", others.join(", "));
        table.place("cipher_suites").warn(text);
    }
}

/// A list of known names. Nothing inside where there is none, nothing at all where one is wrong.
fn read_list<T>(
    table: &Table<'_>,
    key: &'static str,
    known: &[&str],
    find: impl Fn(&str) -> Option<T>,
) -> Option<Option<Vec<T>>> {
    let accepted = format!("one or more of {}", known.join(", "));
    let Some(Located { value: names, place }) = table.strings(key, &accepted) else {
        return (!table.has(key)).then_some(None);
    };
    let mut found = Vec::new();
    for (position, name) in names.iter().enumerate() {
        match find(name) {
            Some(one) => found.push(one),
            None => {
                place.reject(format!("entry {} is unknown, accepted: {accepted}", position + 1));
            }
        }
    }
    if names.is_empty() {
        place.reject(format!("is empty, accepted: {accepted}"));
    }
    (!found.is_empty() && found.len() == names.len()).then_some(Some(found))
}
