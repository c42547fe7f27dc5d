//! The lab's directory: what `init` writes, and what the other commands read.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::http::StatusCode;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;

use super::Result;
use super::authorization::{
    AUDIENCE, AuthorizationServer, GATEWAY_CLIENT, GATEWAY_SECRET, ISSUER, Signer,
};
use super::backend::Backend;
use super::client::Connector;
use super::consents::Store;
use super::http::{Handler, Response, Service, serve};
use super::pki::{Authority, Identity, Subject, rsa_key};

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The gateway's mTLS listener.
pub const MUTUAL: SocketAddr = local(8443);
/// The gateway's public listener.
pub const PUBLIC: SocketAddr = local(8444);
/// The gateway's admin endpoint.
pub const ADMIN: SocketAddr = local(9100);
/// The authorization server.
pub const AUTHORIZATION: SocketAddr = local(8451);
/// The consent registry.
pub const REGISTRY: SocketAddr = local(8452);
/// What the lab says of itself.
pub const CONTROL: SocketAddr = local(8453);
/// The legacy backend.
pub const BACKEND: SocketAddr = local(8454);

/// The lab's directory.
#[derive(Clone, Debug)]
pub struct Place(PathBuf);

/// The services of a lab that runs.
pub struct Services {
    _all: Vec<Service>,
    _backend: Backend,
}

impl Place {
    /// A directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// The path of a file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        std::fs::read_to_string(&path).map_err(|error| {
            format!("{}: {error} (run `portaria-lab init` first)", path.display()).into()
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.file(name), text)?)
    }

    /// A file that nobody else on the machine can read.
    fn write_secret(&self, name: &str, text: &str) -> Result<()> {
        write_secret(&self.file(name), text)
    }

    fn write_identity(&self, name: &str, identity: &Identity) -> Result<()> {
        self.write(&format!("{name}.pem"), &identity.chain_pem)?;
        self.write_secret(&format!("{name}-key.pem"), &identity.key_pem)
    }

    /// Writes PKI, keys and configuration. `policies` is the directory of the policies.
    pub fn init(&self, policies: &Path) -> Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let root = Authority::root("portaria lab root v10", rsa_key()?)?;
        let issuing = root.issuing("portaria lab SSL v1", rsa_key()?)?;
        let other = Authority::root("another root", rsa_key()?)?;
        let day = 86_400;
        self.write("root.pem", &root.pem())?;
        self.write_identity("server", &issuing.server(&rsa_key()?, -day, 90 * day)?)?;
        let base = Subject::default;
        let server_only = Subject { purpose: Some(ExtendedKeyUsagePurpose::ServerAuth), ..base() };
        let nameless = Subject { organisation_identifier: String::new(), ..base() };
        let expired = Subject { not_after: -day / 2, ..base() };
        let key = rsa_key()?;
        self.write_identity("participant-one", &issuing.client(&rsa_key()?, &base())?)?;
        self.write_identity("participant-two", &issuing.client(&rsa_key()?, &Subject::second())?)?;
        self.write_identity("expired", &issuing.client(&key, &expired)?)?;
        self.write_identity("server-only", &issuing.client(&key, &server_only)?)?;
        self.write_identity("nameless", &issuing.client(&key, &nameless)?)?;
        self.write_identity("wrong-issuer", &other.client(&key, &base())?)?;
        self.write_secret("as-key.pem", &rsa_key()?.serialize_pem())?;
        self.write_secret("introspection-secret", GATEWAY_SECRET)?;
        self.write("config.toml", &config(&policies.canonicalize()?))
    }

    /// A certificate chain and key that `init` wrote.
    pub fn identity(&self, name: &str) -> Result<Identity> {
        let chain_pem = self.read(&format!("{name}.pem"))?;
        let key_pem = self.read(&format!("{name}-key.pem"))?;
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
        Ok(Identity { chain: chain?, key, chain_pem, key_pem })
    }

    /// The root.
    pub fn root(&self) -> Result<CertificateDer<'static>> {
        Ok(CertificateDer::from_pem_slice(self.read("root.pem")?.as_bytes())?)
    }

    /// The key of the authorization server.
    pub fn signer(&self) -> Result<Signer> {
        Signer::new("lab-1", &self.read("as-key.pem")?)
    }

    /// How to reach an address with one of the lab's certificates, or with none.
    pub fn connector(&self, address: SocketAddr, identity: Option<&str>) -> Result<Connector> {
        let identity = identity.map(|name| self.identity(name)).transpose()?;
        Connector::new(address, self.root()?, identity.as_ref())
    }

    /// Starts the services.
    pub async fn serve(&self) -> Result<Services> {
        let consents = Store::default();
        let authorization = AuthorizationServer::new(self.signer()?, consents.clone());
        let backend = Backend::start(BACKEND, consents.clone(), false).await?;
        let counter = backend.counter();
        let control: Handler = Arc::new(move |_| {
            let reached = counter.load(Ordering::Relaxed);
            Box::pin(async move { Response::json(StatusCode::OK, &json!({"reached": reached})) })
        });
        let all = vec![
            authorization.serve(AUTHORIZATION, Some(self.optional_mutual_tls()?)).await?,
            consents.serve(REGISTRY).await?,
            serve(CONTROL, None, control).await?,
        ];
        Ok(Services { _all: all, _backend: backend })
    }

    /// TLS that asks for a client certificate and goes on without.
    fn optional_mutual_tls(&self) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.root()?)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()?;
        let server = self.identity("server")?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(server.chain, server.key)?;
        Ok(Arc::new(config))
    }
}

/// The gateway's configuration in the lab.
/// Writes a file that nobody else on the machine can read.
pub fn write_secret(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::remove_file(file);
    let mut options = std::fs::OpenOptions::new();
    let mut created = options.write(true).create_new(true).mode(0o600).open(file)?;
    Ok(created.write_all(text.as_bytes())?)
}

fn config(policies: &Path) -> String {
    let mut text = include_str!("config.toml").to_owned();
    for (mark, value) in [
        ("{ADMIN}", ADMIN.to_string()),
        ("{MUTUAL}", MUTUAL.to_string()),
        ("{PUBLIC}", PUBLIC.to_string()),
        ("{BACKEND}", BACKEND.to_string()),
        ("{REGISTRY}", REGISTRY.to_string()),
        ("{AUTHORIZATION}", AUTHORIZATION.to_string()),
        ("{ISSUER}", ISSUER.to_owned()),
        ("{AUDIENCE}", AUDIENCE.to_owned()),
        ("{GATEWAY_CLIENT}", GATEWAY_CLIENT.to_owned()),
        ("{policies}", policies.display().to_string()),
    ] {
        text = text.replace(mark, &value);
    }
    text
}
