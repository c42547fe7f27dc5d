//! `[token.introspection]`: who says whether an opaque token holds, and how the gateway proves who it is.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;

use super::breaker::{self, BreakerWords, Causes};
use super::document::Table;
use super::endpoint::{self, EndpointSettings, Needs};
use super::{pem, values};
use crate::moment::Moment;
use crate::remote::{BreakerSettings, Breakers};
use crate::report::Metrics;
use crate::token::introspection::{Assertion, ClientAuthentication, Introspector};
use crate::token::{KEEP_INACTIVE, Notice, Witness};

pub(super) const ONE_MINUTE: (Duration, &str) = (Duration::from_secs(60), "60s");
pub(super) const FIVE_MINUTES: (Duration, &str) = (Duration::from_secs(300), "5m");
pub(super) const ONE_HOUR: (Duration, &str) = (Duration::from_secs(3600), "1h");

const BREAKER: BreakerWords = BreakerWords {
    service: "introspection",
    opened: "the introspection endpoint failed repeatedly and is left alone for a while, for one organisation",
    closed: "the introspection endpoint is asked again, for one organisation",
};

/// What `[token.introspection]` says.
#[derive(PartialEq)]
pub(super) struct IntrospectionSettings {
    endpoint: EndpointSettings,
    authentication: Authentication,
    breaker: BreakerSettings,
    /// How long it is known that a token does not hold.
    pub(super) keep_inactive: Duration,
    /// Whether an answer must say what type the token is of.
    pub(super) require_token_type: bool,
}

/// What makes a [`ClientAuthentication`].
#[derive(PartialEq)]
enum Authentication {
    Secret {
        client_id: String,
        secret: String,
    },
    Assertion {
        client_id: String,
        audience: String,
        key_id: Option<String>,
        key: PrivateKeyDer<'static>,
    },
    Certificate {
        client_id: String,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Method {
    Secret,
    Assertion,
    Certificate,
}

/// Who is asked, and who is told of the answers.
pub(super) type Asking = (Introspector, Witness);

/// Reads `[token.introspection]`.
pub(super) fn read_introspection(
    table: &Table<'_>,
    metrics: &Metrics,
) -> Option<(IntrospectionSettings, Asking)> {
    let client_id = table.required("client_id", "the client id of the gateway");
    let accepted = "\"client_secret_basic\", \"private_key_jwt\" or \"tls_client_auth\"";
    let method = table.required_parsed("client_auth", accepted, |text| match text {
        "client_secret_basic" => Some(Method::Secret),
        "private_key_jwt" => Some(Method::Assertion),
        "tls_client_auth" => Some(Method::Certificate),
        _ => None,
    });
    let method = method.map(|method| method.value);
    let needs = Needs { certificate: method == Some(Method::Certificate), encryption: true };
    let endpoint = endpoint::read(table, "url", needs);
    let breaker = breaker::read(table);
    let keep_inactive = read_age(table, "keep_inactive", ONE_MINUTE).unwrap_or(KEEP_INACTIVE);
    let require_token_type = table.boolean("require_token_type").unwrap_or(false);
    let client_id = client_id.map(|client_id| client_id.value);
    let authentication = read_authentication(table, method, client_id);
    let (endpoint, place) = endpoint?;
    let (authentication, built) = authentication?;
    // Who stands in for the authorization server is told no secret, and nothing that is signed.
    let built = match table.stand_in() {
        Some(_) => ClientAuthentication::TlsClientAuth { client_id: String::new() },
        None => built,
    };
    let breakers = Breakers::new(breaker, Moment::now, BREAKER.witness(metrics));
    let introspector = Introspector::new(endpoint.remote(&place)?, breakers, built);
    let settings = IntrospectionSettings {
        endpoint,
        authentication,
        breaker,
        keep_inactive,
        require_token_type,
    };
    Some((settings, (introspector, witness(metrics))))
}

fn read_authentication(
    table: &Table<'_>,
    method: Option<Method>,
    client_id: Option<String>,
) -> Option<(Authentication, ClientAuthentication)> {
    let keys: [(&[&'static str], Method, &str); 2] = [
        (&["client_secret_file"], Method::Secret, "client_secret_basic"),
        (
            &["signing_key", "signing_key_id", "assertion_audience"],
            Method::Assertion,
            "private_key_jwt",
        ),
    ];
    for (keys, of, name) in keys {
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
            let (client_id, secret) = (client_id?, secret?);
            let built = ClientAuthentication::ClientSecretBasic {
                client_id: client_id.clone(),
                client_secret: secret.clone(),
            };
            Some((Authentication::Secret { client_id, secret }, built))
        }
        Method::Assertion => read_assertion(table, client_id),
        Method::Certificate => {
            let client_id = client_id?;
            let built = ClientAuthentication::TlsClientAuth { client_id: client_id.clone() };
            Some((Authentication::Certificate { client_id }, built))
        }
    }
}

fn read_assertion(
    table: &Table<'_>,
    client_id: Option<String>,
) -> Option<(Authentication, ClientAuthentication)> {
    let key = pem::private_key(table, "signing_key");
    let key_id = table.string("signing_key_id", "the kid of the key in the gateway's key set");
    let audience = table.required(
        "assertion_audience",
        "whom the assertions are for: the authorization server's issuer identifier, or what it asks for",
    );
    let (client_id, key, audience) = (client_id?, key?, audience?.value);
    let key_id = key_id.map(|key_id| key_id.value);
    let Some(assertion) = Assertion::new(&client_id, &audience, key_id.as_deref(), &key.value)
    else {
        key.place.reject("is no key for PS256, accepted: an RSA key of at least 2048 bits");
        return None;
    };
    let settings = Authentication::Assertion { client_id, audience, key_id, key: key.value };
    Some((settings, ClientAuthentication::PrivateKeyJwt(assertion)))
}

fn witness(metrics: &Metrics) -> Witness {
    let words = ["active", "refused", "failed"];
    let [active, refused, failed] = words.map(|word| metrics.services().introspections(word));
    let causes = Causes::new("introspection gave no answer that decides");
    Arc::new(move |notice| match notice {
        Notice::Active => {
            causes.note(None);
            active.inc();
        }
        Notice::Refused => {
            causes.note(None);
            refused.inc();
        }
        Notice::Failed(error) => {
            causes.note(Some(error));
            failed.inc();
        }
    })
}

/// How long something may be trusted without asking again: without a ceiling, a slip of the keyboard
/// would keep revoked consents and keys in force.
pub(super) fn read_age(
    table: &Table<'_>,
    key: &'static str,
    (most, text): (Duration, &str),
) -> Option<Duration> {
    let accepted = format!("a duration up to {text}");
    let within = |text: &str| values::duration(text).filter(|duration| *duration <= most);
    Some(table.parsed(key, &accepted, within)?.value)
}
