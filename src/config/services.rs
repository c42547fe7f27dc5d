//! `[token.introspection]`: who says whether an opaque token holds, and how the gateway proves who it is.

use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;

use super::document::Table;
use super::endpoint::{self, EndpointSettings, Needs};
use super::secret::Secret;
use super::{breaker, pem};
use crate::ask::BreakerSettings;
use crate::token::introspection::Assertion;

/// What `[token.introspection]` says.
#[derive(Debug, PartialEq)]
pub struct IntrospectionSettings {
    /// Who is asked.
    pub endpoint: EndpointSettings,
    /// How the gateway proves who it is.
    pub authentication: Authentication,
    /// When it is left alone.
    pub breaker: BreakerSettings,
    /// How long it is known that a token does not hold.
    pub keep_inactive: Duration,
    /// Whether an answer must say what type the token is of.
    pub require_token_type: bool,
}

/// How the gateway proves who it is (RFC 7591 section 2, `token_endpoint_auth_method`).
#[derive(Debug, PartialEq)]
pub enum Authentication {
    /// `client_secret_basic`.
    Secret {
        /// Who it is.
        client_id: String,
        /// The secret.
        secret: Secret<String>,
    },
    /// `private_key_jwt`.
    Assertion {
        /// Who it is.
        client_id: String,
        /// Whom assertions are for.
        audience: String,
        /// The `kid` of the key.
        key_id: Option<String>,
        /// What assertions are signed with.
        key: Secret<PrivateKeyDer<'static>>,
    },
    /// `tls_client_auth`.
    Certificate {
        /// Who it is.
        client_id: String,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Method {
    Secret,
    Assertion,
    Certificate,
}

/// Reads `[token.introspection]`.
pub(super) fn read_introspection(table: &Table<'_>) -> Option<IntrospectionSettings> {
    let client_id = table.required("client_id", "the client id of the gateway");
    let method = table.required_choice("client_auth", |text| match text {
        "client_secret_basic" => Some(Method::Secret),
        "private_key_jwt" => Some(Method::Assertion),
        "tls_client_auth" => Some(Method::Certificate),
        _ => None,
    });
    let method = method.map(|method| method.value);
    let needs = Needs { certificate: method == Some(Method::Certificate), encryption: true };
    let endpoint = endpoint::read(table, "url", needs);
    let breaker = breaker::read(table);
    let keep_inactive = table.duration_or_default("keep_inactive");
    let require_token_type = table.flag("require_token_type");
    let client_id = client_id.map(|client_id| client_id.value);
    let authentication = read_authentication(table, method, client_id);
    Some(IntrospectionSettings {
        endpoint: endpoint?,
        authentication: authentication?,
        breaker,
        keep_inactive,
        require_token_type,
    })
}

fn read_authentication(
    table: &Table<'_>,
    method: Option<Method>,
    client_id: Option<String>,
) -> Option<Authentication> {
    let keys: [(&[&'static str], Method, &str); 2] = [
        (&["client_secret_file"], Method::Secret, "client_secret_basic"),
        (
            &["signing_key", "signing_key_id", "assertion_audience"],
            Method::Assertion,
            "private_key_jwt",
        ),
    ];
    for (keys, of, name) in keys {
        // Of a method that is not understood nothing is known to be without effect.
        for key in
            keys.iter().filter(|key| method.is_some_and(|method| method != of) && table.has(key))
        {
            let text = format!("has no effect with this client_auth, accepted: {name}");
            table.place(key).reject(text);
        }
    }
    match method? {
        Method::Secret => {
            let secret = pem::secret(table, "client_secret_file");
            Some(Authentication::Secret { client_id: client_id?, secret: Secret(secret?) })
        }
        Method::Assertion => read_assertion(table, client_id),
        Method::Certificate => Some(Authentication::Certificate { client_id: client_id? }),
    }
}

fn read_assertion(table: &Table<'_>, client_id: Option<String>) -> Option<Authentication> {
    let key = pem::private_key(table, "signing_key");
    let key_id = table.string("signing_key_id", "the kid of the key in the gateway's key set");
    let audience = table.required(
        "assertion_audience",
        "whom the assertions are for: the authorization server's issuer identifier, or what it asks for",
    );
    let (client_id, key, audience) = (client_id?, key?, audience?.value);
    let key_id = key_id.map(|key_id| key_id.value);
    // Made to be thrown away: a key that cannot sign is a mistake of the file, not of the first question.
    if Assertion::new(&client_id, &audience, key_id.as_deref(), &key.value).is_none() {
        key.place.reject("is no key for PS256, accepted: an RSA key of at least 2048 bits");
        return None;
    }
    Some(Authentication::Assertion { client_id, audience, key_id, key: Secret(key.value) })
}
