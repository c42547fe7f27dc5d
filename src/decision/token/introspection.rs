//! Opaque tokens: what the authorization server says of them (RFC 7662).
//!
//! Asked with client_secret_basic, with an assertion that the gateway signs (private_key_jwt) or with a
//! client certificate (tls_client_auth, RFC 8705 section 2). `active: false` is a refusal; an answer that is
//! none (unreachable, late, 5xx, not JSON) means that the gateway cannot decide. A server that fails
//! repeatedly is left alone for a while, by a breaker for each organisation: a caller chooses its tokens, and
//! could choose those that the server fails at.

mod assertion;

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use url::form_urlencoded;

use super::claims::{ClaimRules, Claims, ClaimsSource};
use super::{TokenError, VerifiedToken};
use crate::ask::{Ask, Breakers, Question, RemoteError};
use crate::identity::OrganisationId;
use crate::moment::Moment;
pub use assertion::Assertion;

/// How the gateway authenticates to the authorization server.
pub enum ClientAuthentication {
    /// HTTP Basic with the form-encoded id and secret (RFC 6749 section 2.3.1).
    ClientSecretBasic {
        /// The gateway's client id.
        client_id: String,
        /// Its secret.
        client_secret: String,
    },
    /// An assertion that it signs.
    PrivateKeyJwt(Assertion),
    /// A client certificate, configured with the endpoint, and the client id in the form.
    TlsClientAuth {
        /// The gateway's client id.
        client_id: String,
    },
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientSecretBasic { .. } => "ClientSecretBasic(..)",
            Self::PrivateKeyJwt(_) => "PrivateKeyJwt(..)",
            Self::TlsClientAuth { .. } => "TlsClientAuth(..)",
        })
    }
}

/// What the authorization server says.
#[derive(Debug)]
pub enum Introspection {
    /// The token is valid and says this.
    Active(Box<VerifiedToken>),
    /// It is not valid: unknown, expired, revoked, or not for this gateway.
    Inactive,
}

/// A client of the introspection endpoint.
#[derive(Debug)]
pub struct Introspector {
    service: Arc<dyn Ask>,
    breakers: Breakers<OrganisationId>,
    authentication: ClientAuthentication,
}

impl Introspector {
    /// A client of `service`, which `breakers` leave alone when it fails.
    pub fn new(
        service: Arc<dyn Ask>,
        breakers: Breakers<OrganisationId>,
        authentication: ClientAuthentication,
    ) -> Self {
        Self { service, breakers, authentication }
    }

    /// Asks about one token, which an organisation's participant sent.
    ///
    /// # Errors
    ///
    /// [`TokenError::Introspection`] if there is no answer, or none that is understood: cannot decide. What
    /// [`Claims::judge`] finds in an answer, a refusal. `active: false` is no error here, but
    /// [`Introspection::Inactive`].
    pub async fn ask(
        &self,
        token: &str,
        caller: &OrganisationId,
        rules: &ClaimRules,
        now: Moment,
    ) -> Result<Introspection, TokenError> {
        let basic = match &self.authentication {
            ClientAuthentication::ClientSecretBasic { client_id, client_secret } => {
                Some((encoded(client_id), encoded(client_secret)))
            }
            ClientAuthentication::PrivateKeyJwt(_) | ClientAuthentication::TlsClientAuth { .. } => {
                None
            }
        };
        let basic = basic.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str()));
        // Not before a breaker lets it pass: to sign an assertion is an RSA signature.
        let question = async {
            let form = self.form(token, now).ok_or(RemoteError::Client)?;
            self.service.ask(Question::form(form, basic)).await
        };
        let answer = self.breakers.ask(caller, question).await;
        let answer = answer.map_err(TokenError::Introspection)?;
        // RFC 7662 section 2.2: what is not active is 200 as well; 401 is about the gateway's own
        // credentials.
        if answer.status != StatusCode::OK {
            return Err(TokenError::Introspection(RemoteError::Status(answer.status)));
        }
        // A signed answer (RFC 9701) has a type of its own, and is not understood.
        if !answer.is_json() {
            return Err(TokenError::Introspection(RemoteError::MediaType));
        }
        let malformed = TokenError::Introspection(RemoteError::Malformed);
        // An answer that is not a strict object of claims is no verdict on the token.
        let claims = Claims::parse(&answer.body, rules).map_err(|_| malformed)?;
        match claims.active() {
            Some(true) => {
                let token = claims.judge(ClaimsSource::Introspection, rules, now)?;
                Ok(Introspection::Active(Box::new(token)))
            }
            Some(false) => Ok(Introspection::Inactive),
            None => Err(malformed),
        }
    }

    fn form(&self, token: &str, now: Moment) -> Option<String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        // A hint only: a server may look further (RFC 7662 section 2.1), so the answer's use is judged.
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        match &self.authentication {
            ClientAuthentication::ClientSecretBasic { .. } => {}
            ClientAuthentication::PrivateKeyJwt(assertion) => {
                form.append_pair("client_assertion_type", assertion::TYPE);
                form.append_pair("client_assertion", &assertion.sign(now)?);
            }
            // RFC 8705 section 2 asks for the id: who the client is must not be guessed from its certificate.
            ClientAuthentication::TlsClientAuth { client_id } => {
                form.append_pair("client_id", client_id);
            }
        }
        Some(form.finish())
    }
}

fn encoded(text: &str) -> String {
    // RFC 6749 section 2.3.1 encodes before Basic does: a colon in the id would else end it.
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
