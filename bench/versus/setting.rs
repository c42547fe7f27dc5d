//! Everything around the proxies: certificates, tokens, the consent registry and the backend.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::EncodingKey;
use portaria::lab::Result;
use portaria::lab::authorization::{Signer, TokenContent};
use portaria::lab::consents::{Store, StoredConsent};
use portaria::lab::http::Service;
use portaria::lab::pki::{CertificationAuthority, ClientSubject, Identity, rsa_key};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Running;
use crate::proxies::nginx;

const CONSENT: &str = "urn:portaria-lab:bench";
/// Certificates on the long list.
const LISTED: u64 = 50_000;
const LARGE_SIZE: usize = 64 * 1024;
pub(crate) const LARGE_FILE: &str = "large.json";
const EC_KEY: &str = "bench-ec";

/// What stands around the proxies, as long as it is kept.
pub(crate) struct Setting {
    directory: TempDir,
    root: CertificateDer<'static>,
    client: Identity,
    signer: Signer,
    ec: EncodingKey,
    pub(crate) backend: SocketAddr,
    pub(crate) registry: SocketAddr,
    backend_process: Running,
    _registry: Service,
}

/// Which token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A customer's, with a consent.
    Customer,
    /// The client's own.
    Client,
}

impl Setting {
    pub(crate) async fn prepare() -> Result<Self> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let at = directory.path();
        let root = CertificationAuthority::root("bench root", rsa_key()?)?;
        let issuing = root.issuing("bench SSL", rsa_key()?)?;
        let client = issuing.client(&rsa_key()?, &ClientSubject::default())?;
        write_certificates(at, &root, &issuing)?;
        let key = rsa_key()?;
        let signer = Signer::new("bench", &key.serialize_pem())?;
        std::fs::write(at.join("jwt.pub"), key.public_key_pem())?;
        let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let keys = [signer.jwks(), json!({"keys": [public(&ec)?]})];
        std::fs::write(at.join("jwks.json"), merged(&keys).to_string())?;
        std::fs::write(at.join(LARGE_FILE), large_answer())?;
        let consents = Store::default();
        consents.put(CONSENT, consent());
        let registry = consents.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let backend = free_address()?;
        let backend_process = nginx::run_backend(at, backend)?;
        Ok(Self {
            root: root.certificate(),
            client,
            signer,
            ec: EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes())?,
            backend,
            registry: registry.address,
            backend_process,
            _registry: registry,
            directory,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps the backend to the load's core, or lets it run on both.
    pub(crate) fn pin_backend(&self, is_pinned: bool) -> Result<()> {
        if is_pinned { self.backend_process.pin(1) } else { self.backend_process.unpin() }
    }

    /// For HTTP/1.1 and for HTTP/2: no resumption, a full handshake each time.
    pub(crate) fn client_tls(&self) -> Result<[Arc<ClientConfig>; 2]> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(self.client.chain.clone(), self.client.key.clone_key())?;
        tls.resumption = rustls::client::Resumption::disabled();
        let mut http2 = tls.clone();
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok([Arc::new(tls), Arc::new(http2)])
    }

    /// A token signed with RSA, by PSS or as PKCS #1 v1.5 has it: both cost a verifier the same.
    pub(crate) fn token(&self, which: Token, is_pss: bool) -> Result<String> {
        let claims = self.grant(which).claims();
        if is_pss {
            return self.signer.sign(&self.signer.header(), &claims);
        }
        let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": "bench"});
        let algorithm = jsonwebtoken::Algorithm::RS256;
        self.signer.sign_as(algorithm, &header.to_string(), &claims.to_string())
    }

    /// So many tokens of one customer, all different; on a curve, since a million is signed.
    pub(crate) fn many_tokens(&self, count: usize) -> Result<Arc<[String]>> {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.typ = Some("at+jwt".into());
        header.kid = Some(EC_KEY.into());
        let mut claims = self.grant(Token::Customer).claims();
        let mut tokens = Vec::with_capacity(count);
        for number in 0..count {
            claims
                .as_object_mut()
                .ok_or("no claims")?
                .insert("jti".into(), number.to_string().into());
            tokens.push(jsonwebtoken::encode(&header, &claims, &self.ec)?);
        }
        Ok(tokens.into())
    }

    fn grant(&self, which: Token) -> TokenContent {
        let (scope, subject) = match which {
            Token::Customer => {
                (format!("openid consent:{CONSENT} insurance-auto"), Some("customer".to_owned()))
            }
            Token::Client => ("quote-auto-lead".to_owned(), None),
        };
        TokenContent {
            client_id: "bench".into(),
            scope,
            subject,
            thumbprint: self.client.thumbprint(),
            lifetime: 86_400,
        }
    }
}

/// Certificates, and the lists for the strict gateway.
fn write_certificates(
    at: &Path,
    root: &CertificationAuthority,
    issuing: &CertificationAuthority,
) -> Result<()> {
    let server = issuing.server(&rsa_key()?, -3600, 86_400)?;
    std::fs::write(at.join("root.pem"), root.pem())?;
    std::fs::write(at.join("issuing.pem"), issuing.pem())?;
    std::fs::write(at.join("server.pem"), &server.chain_pem)?;
    std::fs::write(at.join("server.key"), &server.key_pem)?;
    let both = format!("{}{}", server.chain_pem, server.key_pem);
    std::fs::write(at.join("chain-and-key.pem"), both)?;
    std::fs::write(at.join("root.crl"), root.revocation_list(1, &[], -3600, 86_400)?)?;
    let long = issuing.long_revocation_list(LISTED, -3600, 86_400)?;
    Ok(std::fs::write(at.join("issuing.crl"), long)?)
}

fn public(key: &KeyPair) -> Result<Value> {
    let signing = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes())?;
    let algorithm = jsonwebtoken::Algorithm::ES256;
    let mut key = jsonwebtoken::jwk::Jwk::from_encoding_key(&signing, algorithm)?;
    key.common.key_id = Some(EC_KEY.to_owned());
    key.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
    Ok(serde_json::to_value(key)?)
}

fn merged(sets: &[Value]) -> Value {
    let keys = sets.iter().filter_map(|set| set.get("keys")?.as_array());
    json!({"keys": keys.flatten().collect::<Vec<_>>()})
}

fn consent() -> StoredConsent {
    let permissions =
        ["RESOURCES_READ", "DAMAGES_AND_PEOPLE_AUTO_READ", "DAMAGES_AND_PEOPLE_AUTO_CLAIM_READ"];
    StoredConsent {
        status: "AUTHORISED".into(),
        permissions: permissions.map(str::to_owned).to_vec(),
        client_id: "bench".into(),
        expiration: Some("2300-01-01T00:00:00Z".into()),
        ..StoredConsent::default()
    }
}

fn large_answer() -> String {
    let text = r#"{"data":[""#.to_owned() + &"x".repeat(LARGE_SIZE - 19);
    text + r#""],"n":1}"#
}

pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
