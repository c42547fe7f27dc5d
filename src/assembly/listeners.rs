//! The listeners, ready to accept.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Assembler;
use super::points::Points;
use super::trust::seconds;
use crate::address::Networks;
use crate::config::{ListenerSettings, ServerCertificate};
use crate::identity::Profile;
use crate::listener::server_certificates::PresentedCertificate;
use crate::listener::tls::{Acceptor, TlsSetup};
use crate::listener::{ByName, Clients};
use crate::moment::Moment;
use crate::route::Exposure;
use crate::services::lists::Point;

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

impl Assembler<'_> {
    /// The listeners, and the distribution points of all of them.
    pub(super) fn listeners(
        &self,
        settings: Vec<ListenerSettings>,
        profile: &Profile,
    ) -> (Vec<ListenerConfiguration>, Points) {
        let points = Points::default();
        let now = Moment::now();
        let listener = |settings| self.listener(settings, profile, &points, now);
        let listeners = settings.into_iter().filter_map(listener).collect();
        (listeners, points)
    }

    fn listener(
        &self,
        settings: ListenerSettings,
        profile: &Profile,
        points: &Points,
        now: Moment,
    ) -> Option<ListenerConfiguration> {
        let ListenerSettings { name, address, exposure, parameters, certificates, trust, .. } =
            settings;
        // The first to end: its clients are the first who cannot connect.
        let expiry = certificates.iter().filter_map(|one| self.expiry(one, now)).min();
        let presented: Vec<PresentedCertificate> =
            certificates.into_iter().map(|one| one.presented).collect();
        let end_entities =
            presented.iter().filter_map(PresentedCertificate::end_entity).cloned().collect();
        let (clients, points) = match trust {
            Some(trust) => {
                let (clients, points) = self.clients(trust, &name, profile, points)?;
                (Some(clients), points)
            }
            None => (None, Vec::new()),
        };
        let mut presented = presented.into_iter();
        let by_name = ByName::new(presented.next()?, presented.collect());
        let setup = TlsSetup { parameters, presented: by_name, clients: clients.clone() };
        let acceptor = setup.acceptor().map_err(|error| {
            let accepted = "parameters and certificates with which a client can shake hands";
            let place = self.mistakes.at(&settings.tls_at);
            place.reject(format!("cannot be served ({error}), accepted: {accepted}"));
        });
        Some(ListenerConfiguration {
            name,
            address,
            exposure,
            acceptor: Arc::new(acceptor.ok()?),
            clients,
            points,
            balancers: settings.balancers,
            forwarded_for: settings.forwarded_for,
            expiry,
            presented: end_entities,
        })
    }

    /// When a certificate expires. One that clients will not take is no reason not to start, but one to say so. A reload
    /// does not bring it: what is presented now is taken.
    fn expiry(&self, certificate: &ServerCertificate, now: Moment) -> Option<i64> {
        let der = certificate.presented.end_entity()?;
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        let what = match () {
            () if validity.not_after.timestamp() < seconds(now) => {
                format!("the certificate expired on {}", validity.not_after)
            }
            () if validity.not_before.timestamp() > seconds(now) => {
                format!("the certificate is not valid before {}", validity.not_before)
            }
            () => return Some(validity.not_after.timestamp()),
        };
        let (place, at) = (self.mistakes.at(&certificate.at), &certificate.file_and_line);
        if self.before.is_some_and(|kept| !kept.presented.contains(der)) {
            place.reject(format!("{at}: {what}, accepted: one that clients take now"));
        } else {
            place.warn(format!("{what}: clients will refuse it"));
        }
        Some(validity.not_after.timestamp())
    }
}
