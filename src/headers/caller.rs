//! Who is calling, as the backend is told, and the look-alikes that a caller may have sent.
//!
//! The backend reads the caller's identity from fields that only the gateway sets. A field of that
//! name, or of a name that a legacy system is known to trust (TLS terminators' certificate fields,
//! forwarding fields, method and URL overrides), is removed when it comes from outside, before anything
//! is added. So is every name with an underscore: CGI-like backends read `x_portaria_client_id` and
//! `x-portaria-client-id` as one variable.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::connection::{Nominated, is_hop_by_hop};
use crate::consent::ConsentId;
use crate::identity::Participant;
use crate::interaction::{self, InteractionId};
use crate::token::ClientId;

const ORGANISATION_ID: HeaderName = HeaderName::from_static("x-portaria-organisation-id");
const SOFTWARE_STATEMENT_ID: HeaderName =
    HeaderName::from_static("x-portaria-software-statement-id");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-portaria-client-id");
const CONSENT_ID: HeaderName = HeaderName::from_static("x-portaria-consent-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether only the gateway may set a field of this name.
pub fn is_owned(name: &HeaderName) -> bool {
    let name = name.as_str();
    const PREFIXES: [&str; 9] = [
        "x-portaria-",
        "x-forwarded",
        "x-original-",
        "x-rewrite-",
        "x-ssl-",
        "ssl-",
        "x-client-cert",
        "x-amzn-mtls-",
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

/// Removes from a request what must not reach the backend, and adds what it is told of the caller.
pub fn introduce(request: &mut HeaderMap, facts: CallerFacts<'_>, keep_authorization: bool) {
    let host = request.get(header::HOST).cloned();
    for name in dropped_from_request(request, keep_authorization) {
        request.remove(name);
    }
    request.reserve(ADDED_TO_REQUEST);
    for (name, value) in told(facts) {
        request.insert(name, value);
    }
    if let Some(host) = host {
        request.insert(FORWARDED_HOST, host);
    }
}

/// The names of a request that must not reach the backend as they came: those of the caller's
/// connection, those that the gateway owns or sets anew, and those that are not letters, digits and
/// hyphens.
fn dropped_from_request(headers: &HeaderMap, keep_authorization: bool) -> Vec<HeaderName> {
    let nominated = Nominated::of(headers);
    let is_plain =
        |name: &HeaderName| name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    headers
        .keys()
        .filter(|name| {
            is_hop_by_hop(name)
                || is_owned(name)
                || !is_plain(name)
                || **name == header::EXPECT
                || **name == header::CONTENT_LENGTH
                || **name == interaction::FIELD
                || (**name == header::AUTHORIZATION && !keep_authorization)
                || nominated.contains(name)
        })
        .cloned()
        .collect()
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
    /// The client of the token.
    pub client_id: Option<&'a ClientId>,
    /// The consent.
    pub consent: Option<&'a ConsentId>,
}

/// The most fields that [`introduce`] adds.
const ADDED_TO_REQUEST: usize = 8;

/// The fields that tell it.
fn told(facts: CallerFacts<'_>) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let address = HeaderValue::from_str(&facts.address.to_string()).ok();
    let participant = facts.participant;
    [
        Some((interaction::FIELD, facts.interaction.as_value().clone())),
        address.map(|address| (FORWARDED_FOR, address)),
        Some((FORWARDED_PROTO, HeaderValue::from_static("https"))),
        participant.map(|p| (ORGANISATION_ID, p.organisation_id().as_value().clone())),
        participant.map(|p| (SOFTWARE_STATEMENT_ID, p.software_statement_id().as_value().clone())),
        facts.client_id.map(|id| (CLIENT_ID, id.as_value().clone())),
        facts.consent.map(|id| (CONSENT_ID, id.as_value().clone())),
    ]
    .into_iter()
    .flatten()
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
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("forged"));
            assert_eq!(dropped_from_request(&headers, false).len(), 1, "{name}");
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
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("kept"));
            assert!(dropped_from_request(&headers, false).is_empty(), "{name}");
        }
    }
}
