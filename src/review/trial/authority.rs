//! Who vouches in a test run: a certification authority and an authorization server of one key, which
//! exists for the length of the run and is trusted by nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use x509_parser::der_parser::asn1_rs::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::certificate::{ClientCertificate, KeyPurpose};
use super::der::{self, IssuerName};
use super::token::{Binding, Token};
use crate::identity::verifier::ClientVerifier;
use crate::identity::{PathRules, PathVerifier, Profile, Thumbprint, Trust, TrustAnchors};
use crate::listener::tls::provider;
use crate::token::Algorithm;
use crate::token::jwks::KeySet;

const KEY_ID: &str = "trial";
// Cases choose their clock. 9999 is how RFC 5280 section 4.1.2.5 writes that there is no end.
const FROM: OffsetDateTime = datetime!(1970-01-01 00:00 UTC);
const UNTIL: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// The authority.
pub(super) struct TrialAuthority {
    key: RsaKeyPair,
    public_key: Vec<u8>,
    own: CertificateIssuer,
    /// One that nobody trusts.
    stranger: CertificateIssuer,
    issued: AtomicU32,
}

/// In whose name certificates are issued.
struct CertificateIssuer {
    name: IssuerName,
    root: CertificateDer<'static>,
}

impl TrialAuthority {
    /// An authority of the organisation that certificates must be issued by.
    pub(super) fn new(organisation: &str) -> Result<Self, Unspecified> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
        let public_key: PublicKeyX509Der<'_> = key.public_key().as_der()?;
        let public_key = public_key.as_ref().to_vec();
        let issuer = |name| CertificateIssuer::new(&key, &public_key, name);
        let own = issuer(authority_name(organisation, "portaria test"))?;
        let stranger = issuer(authority_name(organisation, "a stranger"))?;
        Ok(Self { key, public_key, own, stranger, issued: AtomicU32::new(1) })
    }

    /// What a listener trusts whose anchor is this authority.
    pub(super) fn trust(&self, profile: &Profile) -> Option<Arc<Trust>> {
        let paths = PathVerifier {
            anchors: TrustAnchors::new(vec![self.own.root.clone()]).ok()?,
            rules: PathRules::OF_LISTENERS,
            revocation: None,
            algorithms: provider().signature_verification_algorithms,
        };
        Some(Arc::new(Trust::new(ClientVerifier::new(paths, None), profile.clone(), None)))
    }

    /// Issues a client's certificate, and gives the chain that the client sends.
    pub(super) fn issue(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<Vec<CertificateDer<'static>>, Unspecified> {
        let issuer = if certificate.is_trusted { &self.own } else { &self.stranger };
        let client: Oid<'_> = oid!(1.3.6.1.5.5.7.3.2);
        let server: Oid<'_> = oid!(1.3.6.1.5.5.7.3.1);
        let purpose = certificate.purpose.map(|purpose| match purpose {
            KeyPurpose::Client => &client,
            KeyPurpose::Server => &server,
        });
        let to_be_signed = der::TbsCertificate {
            // Another one than the roots' 1 and than each other's, which is all: so Relaxed.
            serial: self.issued.fetch_add(1, Ordering::Relaxed) + 1,
            issuer: &issuer.name,
            subject: &certificate.subject,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            // The authority's for every client: nobody compares keys, and making one costs more than a case.
            public_key: &self.public_key,
            extensions: der::extensions_of_client(purpose, "tpp.example"),
        };
        let end_entity = sign_certificate(&self.key, &to_be_signed.to_be_signed())?;
        Ok(vec![end_entity, issuer.root.clone()])
    }

    /// The key set of the authorization server.
    pub(super) fn keys(&self, algorithms: &[Algorithm]) -> Option<KeySet> {
        let (_, root) = X509Certificate::from_der(&self.own.root).ok()?;
        let Ok(PublicKey::RSA(key)) = root.public_key().parsed() else {
            return None;
        };
        let number = |bytes: &[u8]| {
            // RFC 7518 section 6.3.1.1: without the zero that DER puts before a number to keep it positive.
            let significant: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
            URL_SAFE_NO_PAD.encode(significant)
        };
        let key = json!({
            "kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "PS256",
            "n": number(key.modulus), "e": number(key.exponent),
        });
        KeySet::parse(json!({"keys": [key]}).to_string().as_bytes(), algorithms).ok()
    }

    /// Signs a token. `chain` is the connection's.
    pub(super) fn sign(
        &self,
        token: &Token,
        chain: &[CertificateDer<'_>],
    ) -> Result<String, Unspecified> {
        let mut claims = token.claims.clone();
        let another = || Thumbprint::of_certificate(b"another certificate");
        let thumbprint = match token.bound_to {
            Binding::Certificate => chain.first().map(|der| Thumbprint::of_certificate(der)),
            Binding::Another => Some(another()),
            Binding::Nothing => None,
        };
        if let Some(thumbprint) = thumbprint {
            claims.insert("cnf".to_owned(), json!({"x5t#S256": thumbprint.to_text()}));
        }
        let header = json!({"alg": "PS256", "typ": "at+jwt", "kid": KEY_ID});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&Value::from(claims)));
        let signature = sign(&self.key, &RSA_PSS_SHA256, signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl CertificateIssuer {
    fn new(key: &RsaKeyPair, public_key: &[u8], name: IssuerName) -> Result<Self, Unspecified> {
        let to_be_signed = der::TbsCertificate {
            serial: 1,
            issuer: &name,
            subject: &name,
            not_before: FROM,
            not_after: UNTIL,
            public_key,
            extensions: der::extensions_of_authority(),
        };
        let root = sign_certificate(key, &to_be_signed.to_be_signed())?;
        Ok(Self { name, root })
    }
}

fn authority_name(organisation: &str, common_name: &str) -> IssuerName {
    vec![
        (oid!(2.5.4.6), "BR".to_owned()),
        (oid!(2.5.4.10), organisation.to_owned()),
        (oid!(2.5.4.3), common_name.to_owned()),
    ]
}

fn sign_certificate(
    key: &RsaKeyPair,
    to_be_signed: &[u8],
) -> Result<CertificateDer<'static>, Unspecified> {
    let signature = sign(key, &RSA_PKCS1_SHA256, to_be_signed)?;
    Ok(der::signed(to_be_signed, &signature).into())
}

fn sign(
    key: &RsaKeyPair,
    encoding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature)?;
    Ok(signature)
}
