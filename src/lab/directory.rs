//! The lab's directory: what `init` writes, and what the other commands read.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::http::StatusCode;
use rcgen::KeyPair;
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
use super::http::{Handler, Service, ServiceResponse, serve};
use super::pki::hierarchy::{Hierarchy, LISTS_HOLD};
use super::pki::refused::{LATE, RefusedCertificates};
use super::pki::{CertificationAuthority, ClientSubject, Identity, rsa_key};
use crate::identity::PathReason;

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const DAY: i64 = 86_400;

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
pub struct LabDirectory(PathBuf);

/// The services of a lab that runs.
pub struct Services {
    _all: Vec<Service>,
    _backend: Backend,
}

impl LabDirectory {
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
        let path = self.file(name);
        Ok(std::fs::write(&path, text).map_err(at(&path))?)
    }

    fn make(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        Ok(std::fs::create_dir_all(&path).map_err(at(&path))?)
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
        let policies = policies_in(policies)?;
        for directory in ["authorities", "lists", "refused"] {
            self.make(directory)?;
        }
        // One key for every certificate of which it does not matter: RSA keys take long to make.
        let (hierarchy, key) = (Hierarchy::new()?, rsa_key()?);
        self.write("root.pem", &hierarchy.root_one.pem())?;
        self.write("trust-anchors.pem", &hierarchy.anchors_pem())?;
        self.write_authorities(&hierarchy)?;
        self.write_participants(&hierarchy, &key)?;
        let lists = self.write_refused(&hierarchy, &key)?;
        self.write_secret("as-key.pem", &rsa_key()?.serialize_pem())?;
        self.write_secret("introspection-secret", GATEWAY_SECRET)?;
        self.write("config.toml", &config(&policies, &lists))
    }

    /// The certificates of the authorities, and the keys of those that can revoke.
    fn write_authorities(&self, hierarchy: &Hierarchy) -> Result<()> {
        for (name, authority) in hierarchy.trusted() {
            self.write(&format!("authorities/{name}.pem"), &authority.path_pem())?;
        }
        for (name, authority) in hierarchy.issuers() {
            self.write_secret(&format!("authorities/{name}-key.pem"), &authority.key_pem())?;
        }
        Ok(())
    }

    fn write_participants(&self, hierarchy: &Hierarchy, key: &KeyPair) -> Result<()> {
        let Hierarchy { issuing, delegated, crossed, .. } = hierarchy;
        let nameless =
            ClientSubject { organisation_identifier: String::new(), ..ClientSubject::default() };
        self.write_identity("server", &issuing.server(&rsa_key()?, -DAY, 90 * DAY)?)?;
        for (name, identity) in [
            ("participant-one", issuing.client(&rsa_key()?, &ClientSubject::default())?),
            ("participant-two", delegated.client(&rsa_key()?, &ClientSubject::second())?),
            ("participant-three", crossed.client(&rsa_key()?, &ClientSubject::third())?),
            ("nameless", issuing.client(key, &nameless)?),
        ] {
            self.write_identity(name, &identity)?;
        }
        Ok(())
    }

    /// The certificates that are refused, and all lists; gives the names of those that a gateway takes.
    fn write_refused(&self, hierarchy: &Hierarchy, key: &KeyPair) -> Result<Vec<&'static str>> {
        let refused = RefusedCertificates::new(hierarchy, key)?;
        for (reason, identity) in refused.cases() {
            let directory = format!("refused/{reason}");
            self.make(&directory)?;
            self.write(&format!("{directory}/chain.pem"), &identity.chain_pem)?;
            self.write_secret(&format!("{directory}/key.pem"), &identity.key_pem)?;
        }
        let mut lists: BTreeMap<_, _> = hierarchy.lists()?.into_iter().collect();
        lists.extend(refused.lists);
        for (name, list) in &lists {
            self.write(&format!("lists/{name}.crl"), list)?;
        }
        let all: String = hierarchy.trusted().map(|(_, authority)| authority.pem()).concat();
        self.write("authorities/all.pem", &(all + &refused.forger_pem))?;
        // What no gateway puts in force is for the command line alone.
        Ok(lists.into_keys().filter(|name| *name != LATE).collect())
    }

    /// Has the issuer of a certificate revoke it: its next list names it. Gives the file of the list.
    pub fn revoke(&self, identity: &Identity) -> Result<PathBuf> {
        for name in Hierarchy::ISSUERS {
            let authority = self.authority(name)?;
            if authority.is_issuer_of(identity)? {
                let file = format!("lists/{name}.crl");
                let list = authority.revoke(&self.read(&file)?, identity, LISTS_HOLD)?;
                self.write(&file, &list)?;
                return Ok(self.file(&file));
            }
        }
        Err("no authority of the lab issued it".into())
    }

    /// One of [`Hierarchy::ISSUERS`].
    pub fn authority(&self, name: &str) -> Result<CertificationAuthority> {
        let path = self.read(&format!("authorities/{name}.pem"))?;
        CertificationAuthority::read(&path, &self.read(&format!("authorities/{name}-key.pem"))?)
    }

    /// The files of the revocation lists.
    pub fn lists(&self) -> Result<Vec<PathBuf>> {
        let path = self.file("lists");
        let entries = std::fs::read_dir(&path).map_err(at(&path))?;
        let files: Result<Vec<_>, _> = entries.map(|entry| entry.map(|e| e.path())).collect();
        Ok(files?)
    }

    /// The client certificate that is refused for a reason.
    pub fn refused(&self, reason: PathReason) -> Result<Identity> {
        self.read_identity(
            &format!("refused/{reason}/chain.pem"),
            &format!("refused/{reason}/key.pem"),
        )
    }

    /// A certificate chain and key that `init` wrote.
    pub fn identity(&self, name: &str) -> Result<Identity> {
        self.read_identity(&format!("{name}.pem"), &format!("{name}-key.pem"))
    }

    fn read_identity(&self, chain: &str, key: &str) -> Result<Identity> {
        let (chain, key_pem) = (self.read(chain)?, self.read(key)?);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
        Ok(Identity::new(chain?, key, key_pem))
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
            Box::pin(
                async move { ServiceResponse::json(StatusCode::OK, &json!({"reached": reached})) },
            )
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
                // Metadata and keys are for everybody; the token endpoint itself asks for a certificate.
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

/// Writes a file that nobody else on the machine can read.
pub fn write_secret(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    // One that is there keeps its mode, whatever is asked for: it must be made anew.
    let _ = std::fs::remove_file(file);
    let mut options = std::fs::OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(file);
    let written = created.and_then(|mut created| created.write_all(text.as_bytes()));
    Ok(written.map_err(at(file))?)
}

/// Names the file of an error.
fn at(path: &Path) -> impl FnOnce(std::io::Error) -> String {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}")
}

/// The directory of the policies, which is that of the checkout unless another one is named: nothing is written
/// before it is found.
fn policies_in(directory: &Path) -> Result<PathBuf> {
    let is_policy = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|name| name == "toml"))
    };
    let found = std::fs::read_dir(directory).map(|mut entries| entries.any(is_policy));
    let what = match found {
        // config.toml will stand in another directory, from which its relative paths start.
        Ok(true) => return Ok(directory.canonicalize().map_err(at(directory))?),
        Ok(false) => "has no policy file (*.toml)".to_owned(),
        Err(error) => format!("is no directory of policies ({error})"),
    };
    let shown = directory.display();
    Err(format!(
        "{shown} {what}: run `portaria-lab init` where portaria was checked out, or name its policies with \
         --policies DIR"
    )
    .into())
}

/// The gateway's configuration in the lab.
fn config(policies: &Path, lists: &[&str]) -> String {
    let lists: Vec<String> = lists.iter().map(|name| format!("\"lists/{name}.crl\"")).collect();
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
        ("{lists}", lists.join(", ")),
    ] {
        text = text.replace(mark, &value);
    }
    text
}
