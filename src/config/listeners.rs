//! `[[listeners]]` and `[admin]`: where the gateway listens, and to whom.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::document::Table;
use super::identity::read_profile;
use super::points::Points;
use super::tls::{self, Certificates};
use super::trust::{self, Reading};
use super::{Kept, networks, values};
use crate::address::Networks;
use crate::listener::lists::Point;
use crate::listener::tls::{Acceptor, TlsSetup};
use crate::listener::{Clients, Parameters};
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
    /// Whose connections must begin with a PROXY protocol header.
    pub balancers: Option<Networks>,
    /// Whose X-Forwarded-For is believed.
    pub forwarded_for: Option<Networks>,
    /// When its certificate expires, in seconds since 1970.
    pub expiry: Option<i64>,
    /// The certificates that it presents, without those of their issuers.
    pub presented: Vec<CertificateDer<'static>>,
}

/// Reads `[[listeners]]`.
pub(super) fn read_listeners(
    root: &Table<'_>,
    metrics: &Metrics,
    before: Option<&Kept>,
) -> (Vec<ListenerConfiguration>, Points) {
    let now = Moment::now();
    let profile = read_profile(root);
    let reading = Reading { profile, metrics, before, points: Points::default() };
    let tables = root.tables("listeners");
    if tables.is_empty() && !root.has("listeners") {
        root.place("listeners").reject("is missing, accepted: at least one [[listeners]] table");
    }
    let mut seen = HashSet::new();
    let mut listeners = Vec::new();
    for table in &tables {
        let trust = |name: &str| trust::read_clients(table, name, &reading);
        let Some(listener) = read_listener(table, trust, now, before) else {
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
    before: Option<&Kept>,
) -> Option<ListenerConfiguration> {
    let name = table.required_parsed("name", values::NAME, values::name);
    let address = table.required_parsed("address", ADDRESS, |text| text.parse().ok());
    let exposure =
        table.required_parsed("client_auth", "\"required\" or \"none\"", |text| match text {
            "required" => Some(Exposure::Mutual),
            "none" => Some(Exposure::Public),
            _ => None,
        });
    let parameters = tls::read_parameters(table);
    // What is presented is looked at even if the parameters are wrong, so that all mistakes are told.
    let assumed = parameters.clone().unwrap_or_else(Parameters::fapi_br);
    let certificates = tls::read_certificates(table, &assumed, now, before);
    let balancers = networks::read_trusted(table, "proxy_protocol");
    let forwarded_for = networks::read_trusted(table, "forwarded_for");
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
    let (parameters, Certificates { by_name, expiry, end_entities }) = (parameters?, certificates?);
    let setup = TlsSetup { parameters, presented: by_name, clients: clients.clone() };
    let acceptor = build_acceptor(setup, table)?;
    let (name, address, exposure) = (name?.value, address?.value, exposure?.value);
    Some(ListenerConfiguration {
        name,
        address,
        exposure,
        acceptor,
        clients,
        points,
        balancers,
        forwarded_for,
        expiry,
        presented: end_entities,
    })
}

fn build_acceptor(setup: TlsSetup, table: &Table<'_>) -> Option<Arc<Acceptor>> {
    let accepted = "parameters and certificates with which a client can shake hands";
    let acceptor = setup.acceptor().map_err(|error| {
        table.place("tls").reject(format!("cannot be served ({error}), accepted: {accepted}"));
    });
    acceptor.ok().map(Arc::new)
}

fn reject_anchors(table: &Table<'_>, is_public: bool) {
    for key in ["trust_anchors", "revocation"] {
        if is_public && table.has(key) {
            let place = table.place(key);
            place.reject("has no effect with client_auth = \"none\", accepted: \"required\"");
        }
    }
}

/// Reads `[admin]`: where metrics and health are served, on loopback only.
pub(super) fn read_admin(root: &Table<'_>) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], 9100));
    let accepted = "a loopback address such as \"127.0.0.1:9100\"";
    let table = root.table("admin");
    let address = table.as_ref().and_then(|table| {
        table.parsed("address", accepted, |text| text.parse::<SocketAddr>().ok())
    });
    if let Some(address) = address.as_ref().filter(|address| !address.value.ip().is_loopback()) {
        let why = "can be reached from other machines, and whoever reaches it reads metrics and ends consents";
        address.place.reject(format!("{why}, accepted: {accepted}"));
    }
    address.map_or(default, |address| address.value)
}
