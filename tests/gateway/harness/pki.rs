//! The certificates of all tests, made once.

use std::sync::OnceLock;

use portaria::identity::PathReason;
use portaria::lab::pki::hierarchy::Hierarchy;
use portaria::lab::pki::refused::RefusedCertificates;
use portaria::lab::pki::{CertificationAuthority, ClientSubject, Identity, rsa_key};

pub struct Pki {
    pub root: CertificationAuthority,
    pub server: Identity,
    pub expired_server: Identity,
    pub one: Identity,
    pub two: Identity,
    pub expired: Identity,
    pub foreign: Identity,
    pub server_only: Identity,
    pub purposeless: Identity,
    pub nameless: Identity,
    pub without_software: Identity,
    pub other_ecosystem: Identity,
    pub issuing: CertificationAuthority,
    pub other_root: CertificationAuthority,
    pub client_key: rcgen::KeyPair,
    pub signer_pem: String,
}

pub fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let (hierarchy, key) = (Hierarchy::new().unwrap(), rsa_key().unwrap());
        let refused = RefusedCertificates::new(&hierarchy, &key).unwrap();
        let refused = |reason| refused.identity(reason).unwrap().clone();
        let Hierarchy { root_one: root, issuing, stranger: other_root, .. } = hierarchy;
        let client = |subject: ClientSubject| issuing.client(&key, &subject).unwrap();
        let base = ClientSubject::default;
        Pki {
            server: issuing.server(&key, -3600, 86_400).unwrap(),
            expired_server: issuing.server(&key, -86_400, -3600).unwrap(),
            one: client(base()),
            two: client(ClientSubject::second()),
            expired: refused(PathReason::Expired),
            foreign: refused(PathReason::UnknownIssuer),
            server_only: refused(PathReason::WrongPurpose),
            purposeless: client(ClientSubject { purpose: None, ..base() }),
            nameless: client(ClientSubject { organisation_identifier: String::new(), ..base() }),
            without_software: client(ClientSubject {
                software_statement_id: String::new(),
                ..base()
            }),
            other_ecosystem: client(ClientSubject {
                organisation_identifier: "OFBBR-d7384bd0-842f-43c5-be02-9d2b2d5efc2c".into(),
                ..base()
            }),
            signer_pem: rsa_key().unwrap().serialize_pem(),
            client_key: key,
            root,
            issuing,
            other_root,
        }
    })
}

impl Pki {
    /// TLS of a service that asks its clients for certificates.
    pub fn mutual_tls(&self) -> std::sync::Arc<rustls::ServerConfig> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.certificate()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            roots.into(),
            provider.clone(),
        )
        .build()
        .unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.server.chain.clone(), self.server.key.clone_key())
            .unwrap();
        std::sync::Arc::new(config)
    }

    /// TLS of a service that anybody may talk to.
    pub fn server_tls(&self) -> std::sync::Arc<rustls::ServerConfig> {
        self.tls_of(&self.server)
    }

    /// The same, with a certificate of one's own.
    pub fn tls_of(&self, identity: &Identity) -> std::sync::Arc<rustls::ServerConfig> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .unwrap();
        std::sync::Arc::new(config)
    }
}
