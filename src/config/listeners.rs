//! `[[listeners]]`, `[identity]` and `[admin]`: where the gateway listens, and to whom.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::document::{Located, Place, Table};
use super::points::Points;
use super::trust::{self, Reading};
use super::{Kept, pem, values};
use crate::identity::SubjectRules;
use crate::listener::Clients;
use crate::listener::lists::Point;
use crate::listener::tls::{Acceptor, ServerIdentity, TlsSetup};
use crate::moment::Moment;
use crate::report::Metrics;
use crate::route::Exposure;

const ADDRESS: &str = "\"IP:port\" such as \"0.0.0.0:8443\"";

/// One listener, ready to accept.
pub struct ListenerConfiguration {
    /// Its name.
    pub name: String,
    /// Its address, as configured.
    pub address: SocketAddr,
    /// Which routes it has.
    pub exposure: Exposure,
    /// Its TLS.
    pub acceptor: Arc<Acceptor>,
    /// What it asks of its clients.
    pub clients: Option<Clients>,
    /// Where its revocation lists are fetched from.
    pub points: Vec<Arc<Point>>,
    /// When its certificate expires, in seconds since 1970.
    pub expiry: Option<i64>,
}

/// Reads `[[listeners]]`.
pub(super) fn read_listeners(
    root: &Table<'_>,
    metrics: &Metrics,
    before: Option<&Kept>,
) -> (Vec<ListenerConfiguration>, Points) {
    let now = Moment::now();
    let rules = read_subject_rules(root);
    let reading = Reading { rules, metrics, before, points: Points::default() };
    let tables = root.tables("listeners");
    if tables.is_empty() && !root.has("listeners") {
        root.place("listeners").reject("is missing, accepted: at least one [[listeners]] table");
    }
    let mut seen = HashSet::new();
    let mut listeners = Vec::new();
    for table in &tables {
        let trust = |name: &str| trust::read_clients(table, name, &reading);
        let Some(listener) = read_listener(table, trust, now) else {
            continue;
        };
        if !seen.insert(listener.name.clone()) {
            let text = format!("{:?} names two listeners, accepted: distinct names", listener.name);
            table.place("name").reject(text);
        }
        let taken = listeners.iter().any(|other: &ListenerConfiguration| {
            other.address == listener.address && listener.address.port() != 0
        });
        if taken {
            table
                .place("address")
                .reject("is another listener's too, accepted: distinct addresses");
        }
        listeners.push(listener);
    }
    (listeners, reading.points)
}

fn read_listener(
    table: &Table<'_>,
    read_clients: impl FnOnce(&str) -> Option<(Clients, Vec<Arc<Point>>)>,
    now: Moment,
) -> Option<ListenerConfiguration> {
    let name = table.required_parsed("name", values::NAME, values::name);
    let address = table.required_parsed("address", ADDRESS, |text| text.parse().ok());
    let exposure =
        table.required_parsed("client_auth", "\"required\" or \"none\"", |text| match text {
            "required" => Some(Exposure::Mutual),
            "none" => Some(Exposure::Public),
            _ => None,
        });
    let chain = pem::certificates(table, "certificate");
    let expiry = chain.as_ref().and_then(|chain| look_at_server_certificate(chain, now));
    let key = pem::private_key(table, "private_key");
    let (clients, points) = match exposure.as_ref().map(|exposure| exposure.value) {
        Some(Exposure::Mutual) => {
            let (clients, points) = read_clients(name.as_ref().map_or("", |name| &name.value))?;
            (Some(clients), points)
        }
        _ => {
            reject_anchors(table, exposure.is_some());
            (None, Vec::new())
        }
    };
    let (chain, key) = (chain?, key?);
    let identity = ServerIdentity { chain: chain.value, key: key.value };
    let acceptor = match (TlsSetup { identity, clients: clients.clone() }).acceptor() {
        Ok(acceptor) => Arc::new(acceptor),
        Err(error) => {
            reject_key(&key.place, &error);
            return None;
        }
    };
    let (name, address, exposure) = (name?.value, address?.value, exposure?.value);
    Some(ListenerConfiguration { name, address, exposure, acceptor, clients, points, expiry })
}

fn reject_anchors(table: &Table<'_>, is_public: bool) {
    for key in ["trust_anchors", "revocation"] {
        if is_public && table.has(key) {
            let place = table.place(key);
            place.reject("has no effect with client_auth = \"none\", accepted: \"required\"");
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

/// A certificate that clients will not take is no reason not to start, but one to say so. Gives when it
/// expires.
fn look_at_server_certificate(
    chain: &Located<Vec<CertificateDer<'static>>>,
    now: Moment,
) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(chain.value.first()?).ok()?;
    let validity = certificate.validity();
    let seconds = i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX);
    if validity.not_after.timestamp() < seconds {
        let text = format!("the certificate expired on {}", validity.not_after);
        chain.place.warn(format!("{text}: clients will refuse it"));
    }
    if validity.not_before.timestamp() > seconds {
        let text = format!("the certificate is not valid before {}", validity.not_before);
        chain.place.warn(format!("{text}: clients will refuse it"));
    }
    Some(validity.not_after.timestamp())
}

fn read_subject_rules(root: &Table<'_>) -> SubjectRules {
    let default = || vec!["OPIBR-".to_owned()];
    let accepted = "one or more prefixes of organizationIdentifier such as \"OPIBR-\"";
    let table = root.table("identity");
    let prefixes = table.as_ref().and_then(|t| t.strings("organisation_prefixes", accepted));
    let has_empty = |list: &[String]| list.is_empty() || list.iter().any(String::is_empty);
    if let Some(prefixes) = prefixes.as_ref().filter(|prefixes| has_empty(&prefixes.value)) {
        prefixes.place.reject(format!("is or has an empty prefix, accepted: {accepted}"));
    }
    SubjectRules { organisation_prefixes: prefixes.map_or_else(default, |found| found.value) }
}

/// Reads `[admin]`: where metrics and health are served, on loopback only.
pub(super) fn read_admin(root: &Table<'_>) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], 9100));
    let accepted = "a loopback address such as \"127.0.0.1:9100\"";
    let table = root.table("admin");
    let address = table.as_ref().and_then(|table| {
        let parse = |text: &str| text.parse::<SocketAddr>().ok();
        table.parsed("address", accepted, |text| parse(text).filter(|a| a.ip().is_loopback()))
    });
    address.map_or(default, |address| address.value)
}
