//! `[[listeners]]` and `[admin]`: where the gateway listens, and to whom.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::document::{Spot, Table};
use super::tls::{self, ServerCertificate};
use super::trust::{self, TrustSettings};
use super::{networks, values};
use crate::address::Networks;
use crate::listener::Parameters;
use crate::route::Exposure;

const ADDRESS: &str = "\"IP:port\" such as \"0.0.0.0:8443\"";

/// What a `[[listeners]]` table says.
#[derive(Debug)]
pub struct ListenerSettings {
    /// Its name.
    pub name: String,
    /// Its address, as configured.
    pub address: SocketAddr,
    /// Which routes it has.
    pub exposure: Exposure,
    /// What its handshakes are negotiated from.
    pub parameters: Parameters,
    /// What it presents, the certificate for every other name first.
    pub certificates: Vec<ServerCertificate>,
    /// What it trusts of its clients.
    pub trust: Option<TrustSettings>,
    /// Whose connections must begin with a PROXY protocol header.
    pub balancers: Option<Networks>,
    /// Whose X-Forwarded-For is believed.
    pub forwarded_for: Option<Networks>,
    /// Where its TLS is configured.
    pub tls_at: Spot,
}

/// Reads `[[listeners]]`.
pub(super) fn read_listeners(root: &Table<'_>) -> Vec<ListenerSettings> {
    let tables = root.required_tables("listeners", "at least one [[listeners]] table");
    let mut seen = HashSet::new();
    let mut listeners = Vec::new();
    for table in &tables {
        let Some(listener) = read_listener(table) else {
            continue;
        };
        if !seen.insert(listener.name.clone()) {
            let text = format!("{:?} names two listeners, accepted: distinct names", listener.name);
            table.place("name").reject(text);
        }
        let taken = listeners.iter().any(|other: &ListenerSettings| {
            // Port 0 is whichever is free, and never the same twice.
            other.address == listener.address && listener.address.port() != 0
        });
        if taken {
            table
                .place("address")
                .reject("is another listener's too, accepted: distinct addresses");
        }
        listeners.push(listener);
    }
    listeners
}

fn read_listener(table: &Table<'_>) -> Option<ListenerSettings> {
    let name = table.required_parsed("name", values::NAME, values::name);
    let address = table.required_parsed("address", ADDRESS, |text| text.parse().ok());
    let exposure = table.required_word::<Exposure>("client_auth");
    let parameters = tls::read_parameters(table);
    // What is presented is looked at even if the parameters are wrong, so that all mistakes are told.
    let assumed = parameters.clone().unwrap_or_else(Parameters::fapi_br);
    let certificates = tls::read_certificates(table, &assumed);
    let balancers = networks::read_trusted(table, "proxy_protocol");
    let forwarded_for = networks::read_trusted(table, "forwarded_for");
    let trust = match exposure.as_ref().map(|exposure| exposure.value) {
        Some(Exposure::Mutual) => Some(trust::read_trust(table)?),
        _ => {
            reject_anchors(table, exposure.is_some());
            None
        }
    };
    Some(ListenerSettings {
        name: name?.value,
        address: address?.value,
        exposure: exposure?.value,
        parameters: parameters?,
        certificates: certificates?,
        trust,
        balancers,
        forwarded_for,
        tls_at: table.place("tls").spot(),
    })
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
