//! Who is calling, as the backend is told, and the look-alikes that a caller may have sent.
//!
//! The backend reads the caller's identity from fields that only the gateway sets. What a caller sends
//! passes by an allow-list, to which an upstream's configuration may add; names that some legacy system
//! is known to trust (TLS terminators' certificate fields, forwarding fields, method and URL overrides)
//! cannot be added, nor names with an underscore: CGI-like backends read `x_portaria_client_id` and
//! `x-portaria-client-id` as one variable. A Connection field (RFC 9110 section 7.6.1) changes nothing:
//! what passes is end-to-end, and a caller must not take away what was judged.

use std::net::IpAddr;

use http::{HeaderName, header};

use super::connection::is_hop_by_hop;
use crate::address::{FORWARDED_FOR, text};
use crate::consent::ConsentId;
use crate::identity::{Participant, Peer};
use crate::interaction::{self, InteractionId};
use crate::moment::Moment;
use crate::scratch;
use crate::token::ClientId;

const ORGANISATION_ID: HeaderName = HeaderName::from_static("x-portaria-organisation-id");
const SOFTWARE_STATEMENT_ID: HeaderName =
    HeaderName::from_static("x-portaria-software-statement-id");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-portaria-client-id");
const CONSENT_ID: HeaderName = HeaderName::from_static("x-portaria-consent-id");
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether only the gateway may set a field of this name.
pub fn is_owned(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "x-portaria-",
        "x-forwarded",
        // By these two some frameworks take the path from a field instead of the request line.
        "x-original-",
        "x-rewrite-",
        "x-ssl-",
        "ssl-",
        "x-client-cert",
        "x-amzn-mtls-",
        // What the OPIN mock takes for the caller's identity (gateway rules, section 2),
        // as `access-token` below.
        "x-bank-",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "true-client-ip"
                | "client-cert"
                | "client-cert-chain"
                | "bank-tls-certificate"
                | "access-token"
                | "x-host"
                | "x-http-method"
                | "x-http-method-override"
                | "x-method-override"
        )
}

/// What a backend is told of a client certificate (RFC 9440).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedCertificate {
    /// Nothing but whom it names.
    #[default]
    Nothing,
    /// Client-Cert.
    EndEntity,
    /// Client-Cert and Client-Cert-Chain.
    Chain,
}

/// What passes besides the fields that every backend gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passing {
    /// The access token.
    pub authorization: bool,
    /// The certificate of the connection, on routes that need a participant.
    pub certificate: ForwardedCertificate,
    /// Fields that this backend needs.
    pub also: Vec<HeaderName>,
}

impl Passing {
    /// Whether a caller's field of this name reaches the servers.
    pub fn admits(&self, name: &HeaderName) -> bool {
        passes(name)
            || (self.authorization && *name == header::AUTHORIZATION)
            || self.also.contains(name)
    }
}

/// Whether a caller's field reaches every backend: those that describe content, negotiate it or make a
/// request conditional (RFC 9110), trace contexts, and the ecosystem's own. Anything else stays out:
/// there is no end to the names by which some legacy system takes a caller's word for its identity.
pub fn passes(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "accept"
            | "accept-charset"
            | "accept-encoding"
            | "accept-language"
            | "cache-control"
            | "content-digest"
            | "content-encoding"
            | "content-language"
            | "content-type"
            | "date"
            | "digest"
            | "host"
            | "if-match"
            | "if-modified-since"
            | "if-none-match"
            | "if-range"
            | "if-unmodified-since"
            | "pragma"
            | "prefer"
            | "priority"
            | "range"
            | "signature"
            | "signature-input"
            | "traceparent"
            | "tracestate"
            | "user-agent"
            | "x-callback-interaction-id"
            | "x-correlation-id"
            | "x-customer-user-agent"
            | "x-fapi-auth-date"
            | "x-fapi-customer-ip-address"
            | "x-idempotency-key"
            | "x-jws-signature"
            | "x-min-v"
            | "x-request-id"
            | "x-v"
            | "x-webhook-interaction-id"
    )
}

/// Whether a backend may be configured to get a caller's field of this name: not one that belongs to the
/// connection, that the gateway sets, or that passes anyway.
pub fn may_be_configured(name: &HeaderName) -> bool {
    // Of a name with an underscore a CGI-like backend makes the same variable as of one with a hyphen.
    let is_plain = name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_set =
        [header::CONTENT_LENGTH, header::EXPECT, header::AUTHORIZATION, interaction::FIELD];
    is_plain
        && !is_hop_by_hop(name.as_str())
        && !is_owned(name.as_str())
        && !is_set.contains(name)
        && !passes(name)
}

/// What the backend is told of the caller.
#[derive(Clone, Copy, Debug)]
pub struct CallerFacts<'a> {
    /// The caller's address.
    pub address: IpAddr,
    /// The interaction id.
    pub interaction: &'a InteractionId,
    /// The participant, on routes that need one.
    pub participant: Option<&'a Participant>,
    /// The other end of the connection.
    pub peer: &'a Peer,
    /// The present.
    pub now: Moment,
    /// The client of the token.
    pub client_id: Option<&'a ClientId>,
    /// The consent.
    pub consent: Option<&'a ConsentId>,
}

/// Tells it, a field at a time.
pub fn tell(facts: CallerFacts<'_>, passing: &Passing, mut field: impl FnMut(&HeaderName, &[u8])) {
    let CallerFacts { participant, .. } = facts;
    field(&interaction::FIELD, facts.interaction.as_value().as_bytes());
    // A buffer of the thread's: an allocation less for each request.
    let mut address = scratch::room();
    text::push(&mut address, facts.address);
    field(&FORWARDED_FOR, &address);
    scratch::give_back(address);
    field(&FORWARDED_PROTO, b"https");
    if let Some(participant) = participant {
        field(&ORGANISATION_ID, participant.organisation_id().as_value().as_bytes());
        field(&SOFTWARE_STATEMENT_ID, participant.software_statement_id().as_value().as_bytes());
    }
    if let Some(id) = facts.client_id {
        field(&CLIENT_ID, id.as_value().as_bytes());
    }
    if let Some(id) = facts.consent {
        field(&CONSENT_ID, id.as_value().as_bytes());
    }
    show_certificate(facts, passing.certificate, field);
}

/// Only of whom was admitted as a participant: a backend that is shown a certificate may rely on it.
fn show_certificate(
    facts: CallerFacts<'_>,
    what: ForwardedCertificate,
    mut field: impl FnMut(&HeaderName, &[u8]),
) {
    if what == ForwardedCertificate::Nothing || facts.participant.is_none() {
        return;
    }
    let Some(presented) = facts.peer.certificate_fields(facts.now) else {
        return;
    };
    field(&CLIENT_CERT, presented.end_entity().as_bytes());
    if let (ForwardedCertificate::Chain, Some(chain)) = (what, presented.chain()) {
        field(&CLIENT_CERT_CHAIN, chain.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_backend_could_take_for_the_gateways_word_passes() {
        for name in [
            "x-portaria-client-id",
            "x_portaria_client_id",
            "x-forwarded-for",
            "x-forwarded",
            "forwarded",
            "x-real-ip",
            "client-cert",
            "bank-tls-certificate",
            "x-bank-certificate-dn",
            "access_token",
            "x-ssl-client-s-dn",
            "ssl_client_cert",
            "x-http-method-override",
            "x-original-url",
            "x-fapi-interaction-id",
            "connection",
            "te",
            "upgrade",
            "expect",
            "authorization",
            "proxy-authorization",
            "x.dotted",
            "proxy",
            "remote-user",
            "wl-proxy-client-ip",
            "x-arr-clientcert",
            "iv-user",
            "cf-connecting-ip",
            "x-consumer-id",
            "cookie",
        ] {
            assert!(!Passing::default().admits(&HeaderName::from_static(name)), "{name}");
        }
        for name in [
            "accept",
            "content-type",
            "x-idempotency-key",
            "x-customer-user-agent",
            "x-fapi-auth-date",
            "x-fapi-customer-ip-address",
            "user-agent",
            "host",
        ] {
            assert!(Passing::default().admits(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn what_the_gateway_owns_cannot_be_configured_to_pass() {
        for name in [
            "x-portaria-client-id",
            "x_custom",
            "authorization",
            "connection",
            "content-length",
            "x-fapi-interaction-id",
            "x-forwarded-for",
            "accept",
        ] {
            assert!(!may_be_configured(&HeaderName::from_static(name)), "{name}");
        }
        assert!(may_be_configured(&HeaderName::from_static("x-branch")));
    }
}
