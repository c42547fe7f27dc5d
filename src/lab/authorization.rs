//! An authorization server: signed and opaque access tokens bound to a certificate, metadata, a key set that
//! rotates, introspection, and a token endpoint with a shortcut where a customer would have to be asked.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ::http::{Method, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Result;
use super::consents::Store;
use super::http::{Handler, Service, ServiceRequest, ServiceResponse, serve};
use crate::identity::Thumbprint;

/// The issuer of the lab's tokens.
pub const ISSUER: &str = "https://as.portaria-lab.example";
/// The audience of the lab's tokens.
pub const AUDIENCE: &str = "https://api.portaria-lab.example";
/// The client id that the gateway introspects with.
pub const GATEWAY_CLIENT: &str = "portaria";
/// Its secret.
pub const GATEWAY_SECRET: &str = "lab-secret";

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct TokenContent {
    /// The client.
    pub client_id: String,
    /// The scopes, separated by blanks.
    pub scope: String,
    /// The customer, if the token is one's.
    pub subject: Option<String>,
    /// The certificate that it is bound to.
    pub thumbprint: Option<Thumbprint>,
    /// Seconds that it lives.
    pub lifetime: u64,
}

impl TokenContent {
    /// The claims of a token issued now.
    pub fn claims(&self) -> Value {
        let now = now();
        let mut claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": self.client_id,
            "scope": self.scope,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
        });
        if let Some(claims) = claims.as_object_mut() {
            if let Some(subject) = &self.subject {
                claims.insert("sub".into(), subject.as_str().into());
            }
            if let Some(thumbprint) = self.thumbprint {
                claims.insert("cnf".into(), json!({"x5t#S256": thumbprint.to_text()}));
            }
        }
        claims
    }
}

/// The key that signs tokens.
#[derive(Clone)]
pub struct Signer {
    key: EncodingKey,
    kid: String,
    public: Value,
}

impl Signer {
    /// A signer with an RSA key in PEM.
    pub fn new(kid: &str, key_pem: &str) -> Result<Self> {
        let key = EncodingKey::from_rsa_pem(key_pem.as_bytes())?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::PS256)?;
        jwk.common.key_id = Some(kid.to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { key, kid: kid.to_owned(), public: serde_json::to_value(jwk)? })
    }

    /// The key set.
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.public]})
    }

    /// The header of a good token.
    pub fn header(&self) -> Value {
        json!({"alg": "PS256", "typ": "at+jwt", "kid": self.kid})
    }

    /// A token of any header and claims, signed with PS256.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        self.sign_as(Algorithm::PS256, &header.to_string(), &claims.to_string())
    }

    /// A token of any texts, signed with any RSA algorithm.
    pub fn sign_as(&self, algorithm: Algorithm, header: &str, claims: &str) -> Result<String> {
        self.sign_bytes(algorithm, header.as_bytes(), claims.as_bytes())
    }

    /// The same of bytes, which need not be text.
    pub fn sign_bytes(&self, algorithm: Algorithm, header: &[u8], claims: &[u8]) -> Result<String> {
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, algorithm)?;
        Ok(format!("{signed}.{signature}"))
    }
}

/// What signs, and what is published of it and of what signed before.
struct SigningKeys {
    current: Signer,
    published: Vec<Value>,
    issuer: String,
}

/// The server.
#[derive(Clone)]
pub struct AuthorizationServer {
    keys: Arc<Mutex<SigningKeys>>,
    key_set_requests: Arc<AtomicU64>,
    consents: Store,
    opaque: Arc<Mutex<HashMap<String, Value>>>,
    revoked: Arc<Mutex<HashSet<String>>>,
    introspections: Arc<AtomicU64>,
}

impl AuthorizationServer {
    /// A server that confirms consents of `consents`.
    pub fn new(signer: Signer, consents: Store) -> Self {
        let published = vec![signer.public.clone()];
        let keys = SigningKeys { current: signer, published, issuer: ISSUER.to_owned() };
        Self {
            keys: Arc::new(Mutex::new(keys)),
            key_set_requests: Arc::default(),
            consents,
            opaque: Arc::default(),
            revoked: Arc::default(),
            introspections: Arc::default(),
        }
    }

    /// The key that signs.
    pub fn signer(&self) -> Signer {
        self.keys.lock().current.clone()
    }

    /// From now on, `signer` signs. The keys before are still published.
    pub fn rotate(&self, signer: Signer) {
        let mut keys = self.keys.lock();
        keys.published.push(signer.public.clone());
        keys.current = signer;
    }

    /// Takes a key out of the key set.
    pub fn withdraw(&self, kid: &str) {
        self.keys.lock().published.retain(|key| key["kid"] != kid);
    }

    /// The key set.
    pub fn key_set(&self) -> Value {
        json!({"keys": self.keys.lock().published})
    }

    /// How often the key set was asked for.
    pub fn key_set_requests(&self) -> u64 {
        self.key_set_requests.load(Ordering::Relaxed)
    }

    /// Becomes another issuer in its metadata and in the tokens that it signs itself.
    pub fn set_issuer(&self, issuer: &str) {
        self.keys.lock().issuer = issuer.to_owned();
    }

    /// A signed token.
    pub fn issue_signed(&self, grant: &TokenContent) -> Result<String> {
        let signer = self.signer();
        let mut claims = grant.claims();
        if let Some(claims) = claims.as_object_mut() {
            claims.insert("iss".into(), self.keys.lock().issuer.as_str().into());
        }
        signer.sign(&signer.header(), &claims)
    }

    /// An opaque token, known to introspection.
    pub fn issue_opaque(&self, grant: &TokenContent) -> String {
        let token = format!("opaque-{}", uuid::Uuid::new_v4().simple());
        self.put_opaque(&token, grant.claims());
        token
    }

    /// What introspection says of an opaque token, beside `active`.
    pub fn put_opaque(&self, token: &str, claims: Value) {
        self.opaque.lock().insert(token.to_owned(), claims);
    }

    /// Makes a token inactive.
    pub fn revoke(&self, token: &str) {
        self.revoked.lock().insert(token.to_owned());
    }

    /// How often introspection was asked.
    pub fn introspections(&self) -> u64 {
        self.introspections.load(Ordering::Relaxed)
    }

    /// Serves, over TLS if a configuration is given.
    pub async fn serve(
        &self,
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Result<Service> {
        let server = self.clone();
        let handler: Handler = Arc::new(move |request| {
            let server = server.clone();
            Box::pin(async move { server.answer(&request) })
        });
        serve(address, tls, handler).await
    }

    fn answer(&self, request: &ServiceRequest) -> ServiceResponse {
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/jwks") => {
                self.key_set_requests.fetch_add(1, Ordering::Relaxed);
                ServiceResponse::json(StatusCode::OK, &self.key_set())
            }
            // Where OpenID servers have it (RFC 8414 section 5); others have it elsewhere.
            (&Method::GET, "/.well-known/openid-configuration") => {
                let issuer = self.keys.lock().issuer.clone();
                let metadata = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")});
                ServiceResponse::json(StatusCode::OK, &metadata)
            }
            (&Method::POST, "/introspect") => self.introspect(request),
            (&Method::POST, "/token") => self.token(request),
            _ => ServiceResponse::json(StatusCode::NOT_FOUND, &json!({"error": "not_found"})),
        }
    }

    fn introspect(&self, request: &ServiceRequest) -> ServiceResponse {
        self.introspections.fetch_add(1, Ordering::Relaxed);
        if !is_gateway(request) {
            let error = json!({"error": "invalid_client"});
            return ServiceResponse::json(StatusCode::UNAUTHORIZED, &error);
        }
        let token = request.parameter("token").unwrap_or_default();
        let claims = self.opaque.lock().get(&token).cloned();
        // RFC 7662 section 2.2: a token that has expired is not active, whatever else is known of it.
        let live = |claims: &Value| claims["exp"].as_u64().is_none_or(|exp| exp > now());
        let mut claims = match claims {
            Some(claims) if live(&claims) && !self.revoked.lock().contains(&token) => claims,
            _ => return ServiceResponse::json(StatusCode::OK, &json!({"active": false})),
        };
        if let Some(claims) = claims.as_object_mut() {
            claims.insert("active".into(), true.into());
        }
        ServiceResponse::json(StatusCode::OK, &claims)
    }

    /// The token endpoint: `client_credentials`, or `authorization_code` with the consent's id for a
    /// code, which the lab takes for the customer's confirmation. The token is bound to the certificate
    /// of the connection.
    fn token(&self, request: &ServiceRequest) -> ServiceResponse {
        let bad =
            |error: &str| ServiceResponse::json(StatusCode::BAD_REQUEST, &json!({"error": error}));
        // The lab registers no clients: who has a certificate of its root is who it says.
        let (Some(client_id), Some(certificate)) =
            (request.parameter("client_id"), &request.certificate)
        else {
            return bad("invalid_client");
        };
        let mut grant = TokenContent {
            client_id,
            scope: request.parameter("scope").unwrap_or_default(),
            subject: None,
            thumbprint: Some(Thumbprint::of_certificate(certificate)),
            lifetime: 900,
        };
        match request.parameter("grant_type").as_deref() {
            Some("client_credentials") => {}
            Some("authorization_code") => {
                let Some(consent) = request.parameter("code") else {
                    return bad("invalid_grant");
                };
                self.consents.set_status(&consent, "AUTHORISED");
                grant.scope = format!("openid consent:{consent} {}", grant.scope);
                grant.subject = Some("customer".into());
            }
            _ => return bad("unsupported_grant_type"),
        }
        let token = match request.parameter("token_format").as_deref() {
            Some("opaque") => Ok(self.issue_opaque(&grant)),
            _ => self.issue_signed(&grant),
        };
        match token {
            Ok(token) => ServiceResponse::json(
                StatusCode::OK,
                &json!({"access_token": token, "token_type": "Bearer", "expires_in": 900}),
            ),
            Err(_) => bad("server_error"),
        }
    }
}

/// The gateway authenticates with its secret, or with a certificate and its client id.
fn is_gateway(request: &ServiceRequest) -> bool {
    let expected = STANDARD.encode(format!("{GATEWAY_CLIENT}:{GATEWAY_SECRET}"));
    let by_secret = request
        .headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == format!("Basic {expected}").as_bytes());
    let by_certificate = request.certificate.is_some()
        && request.parameter("client_id").as_deref() == Some(GATEWAY_CLIENT);
    by_secret || by_certificate
}
