//! Events: the registry says that a consent has changed.
//!
//! Takes a request's body, a compact JWS (RFC 7515) by PS256 with a configured key or by HS256 with a
//! shared secret; gives the consent that it names. Refuses what is not signed so, is not of the last
//! five minutes (`iat`) or was taken before (`jti`). Believed, an event only ever makes the gateway ask
//! again: it cannot bring a consent into force.
//!
//! The token is a security event token in all but its payload (RFC 8417, delivered as in RFC 8935).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Changes, ConsentId};
use crate::digest::Digest;
use crate::moment::Moment;
use crate::strict;
use crate::token::Algorithm;
use crate::token::jwks::{KeySet, VerifyingKey};

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    /// No listener takes events: the configuration changed since the request was admitted.
    #[error("events are not taken")]
    Unwanted,
    /// Not a compact JWS with `iat`, `jti` and the claim that names a consent.
    #[error("the event is malformed")]
    Malformed,
    /// Another algorithm than the configured one, an unknown key, or a signature that does not verify.
    #[error("the event is not signed as configured")]
    Signature,
    /// Older than five minutes, or from as far ahead.
    #[error("the event is not of the last five minutes")]
    Time,
    /// Its `jti` was seen before.
    #[error("the event was taken before")]
    Replayed,
    /// More events within ten minutes than are remembered: cannot decide.
    #[error("too many events to remember")]
    TooMany,
}

/// What events are signed with.
pub enum EventKey {
    /// PS256, by the keys of a JSON Web Key Set.
    Keys(KeySet),
    /// HS256, by a shared secret.
    Secret(Box<hmac::Key>),
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys(_) => "Keys(..)",
            Self::Secret(_) => "Secret(..)",
        })
    }
}

/// Which events are taken.
pub struct Events {
    /// What they are signed with.
    pub key: EventKey,
    /// The claim that names the consent.
    pub claim: String,
    /// Learns of each one that is taken.
    pub witness: Arc<dyn Fn() + Send + Sync>,
}

/// By how many seconds an event's clock and the gateway's may differ, transport included.
const WINDOW: u64 = 300;
const LONGEST_JTI: usize = 256;

impl Events {
    /// The consent that an event names, if it is one to believe, and for the first time.
    pub(super) fn judge(
        &self,
        body: &[u8],
        changes: &Changes,
        now: Moment,
    ) -> Result<Digest, EventError> {
        let text = std::str::from_utf8(body).map_err(|_| EventError::Malformed)?;
        // The signature before the claims: who cannot sign has nothing parsed but a header.
        let payload = self.verified_payload(text)?;
        let claims = object(&payload)?;
        let claim = |name: &str| claims.get(name).ok_or(EventError::Malformed);
        let text = |name: &str| claim(name)?.as_str().ok_or(EventError::Malformed);
        let issued_at = claim("iat")?.as_u64().ok_or(EventError::Malformed)?;
        let jti = text("jti")?;
        if jti.is_empty() || jti.len() > LONGEST_JTI {
            return Err(EventError::Malformed);
        }
        let consent = ConsentId::new(text(&self.claim)?).ok_or(EventError::Malformed)?;
        // Before it is remembered: what is out of time must not take a place.
        if issued_at.abs_diff(now.unix_seconds()) > WINDOW {
            return Err(EventError::Time);
        }
        let until = issued_at.saturating_add(WINDOW);
        // As a digest: as long as any other, however long its sender writes them.
        changes.take_event(digest_of(jti), until, now)?;
        (self.witness)();
        Ok(consent.digest())
    }

    fn verified_payload(&self, text: &str) -> Result<Vec<u8>, EventError> {
        let (signed, signature) = text.rsplit_once('.').ok_or(EventError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(EventError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| EventError::Malformed);
        let header = object(&decode(header)?)?;
        let named = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(EventError::Malformed),
        };
        // No extension is understood (RFC 7515 section 4.1.11); with `b64` other bytes are signed (RFC 7797).
        let changes_what_is_signed = ["crit", "b64"].iter().any(|name| header.contains_key(*name));
        if changes_what_is_signed || !is_event(named("typ")?) {
            return Err(EventError::Malformed);
        }
        // The key says which algorithm, the header only the same: a public key must not do as a secret of
        // HS256 (RFC 8725 section 3.1).
        let is_signed = match (&self.key, named("alg")?.ok_or(EventError::Malformed)?) {
            (EventKey::Keys(keys), "PS256") => {
                let key = keys.find(named("kid")?).map(|keys| keys.key(Algorithm::Ps256));
                let signed = signed.as_bytes();
                let verify = |key: &VerifyingKey| key.verify(Algorithm::Ps256, signed, signature);
                key.is_some_and(|key| key.and_then(verify).is_ok())
            }
            (EventKey::Secret(secret), "HS256") => {
                // In constant time: byte by byte, a signature could be guessed.
                hmac::verify(secret, signed.as_bytes(), &decode(signature)?).is_ok()
            }
            (EventKey::Keys(_) | EventKey::Secret(_), _) => false,
        };
        if is_signed { decode(payload) } else { Err(EventError::Signature) }
    }
}

fn object(json: &[u8]) -> Result<Map<String, Value>, EventError> {
    match strict::value(json) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) | Err(_) => Err(EventError::Malformed),
    }
}

/// An access token must not do for an event, though the same key may have signed it.
fn is_event(typ: Option<&str>) -> bool {
    let typ = typ.map(str::to_ascii_lowercase);
    let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    // `typ` is optional (RFC 7519 section 5.1); `at+jwt` (RFC 9068) is what must not pass.
    matches!(typ, None | Some("jwt" | "secevent+jwt"))
}

fn digest_of(jti: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, jti.as_bytes()).as_ref());
    bytes
}
