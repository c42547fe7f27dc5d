//! What a listener presents and negotiates: `certificate`, `private_key`, `additional_certificates`, `tls`.

use x509_parser::prelude::{FromDer, X509Certificate};

use super::document::{Located, Place, Spot, Table};
use super::pem;
use crate::listener::ServerIdentity;
use crate::listener::parameters::{self, Parameters, ParametersError};
use crate::listener::server_certificates::PresentedCertificate;

/// A certificate that a listener presents.
#[derive(Debug)]
pub struct ServerCertificate {
    /// With its chain and key.
    pub presented: PresentedCertificate,
    /// Where it is configured.
    pub at: Spot,
    /// The file and line of the certificate itself.
    pub file_and_line: String,
}

/// Reads the listener's certificate, and those for other names after it.
pub(super) fn read_certificates(
    table: &Table<'_>,
    parameters: &Parameters,
) -> Option<Vec<ServerCertificate>> {
    let first = read_certificate(table, parameters);
    let mut names: Vec<String> =
        first.iter().flat_map(|first| first.presented.names.clone()).collect();
    let mut others = Vec::new();
    let mut is_whole = true;
    for table in table.tables("additional_certificates") {
        let Some(other) = read_certificate(&table, parameters) else {
            is_whole = false;
            continue;
        };
        // The first certificate with a name is presented for it: this one would never be.
        if other.presented.names.iter().all(|name| names.contains(name)) {
            table.place("certificate").reject(
                "has no host name that those before it do not have, accepted: a certificate with one",
            );
        }
        names.extend(other.presented.names.iter().cloned());
        others.push(other);
    }
    let all = std::iter::once(first?).chain(others).collect();
    is_whole.then_some(all)
}

fn read_certificate(table: &Table<'_>, parameters: &Parameters) -> Option<ServerCertificate> {
    let chain = pem::chain(table, "certificate");
    chain.iter().for_each(look_for_issuers);
    let key = pem::private_key(table, "private_key");
    let (Located { value: chain, place }, key) = (chain?, key?);
    let file_and_line = chain.at(1);
    let identity = ServerIdentity { chain: chain.ders, key: key.value };
    match identity.certified(parameters.provider()) {
        Ok(presented) => Some(ServerCertificate { presented, at: place.spot(), file_and_line }),
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

/// Reads `tls`: the preset, and what is said instead of it.
pub(super) fn read_parameters(table: &Table<'_>) -> Option<Parameters> {
    let Some(table) = table.table("tls") else {
        return (!table.has("tls")).then(Parameters::fapi_br);
    };
    let preset = |text: &str| (text == "fapi-br").then_some(());
    let is_preset_wrong = table.choice("preset", preset).is_none() && table.has("preset");
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
