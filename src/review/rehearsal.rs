//! A request that goes through the stages as it does in service, without a socket: the handshake's verdict on its
//! certificate, admission, and what is judged again when its body is here.
//!
//! Nothing is forged: who sends it must get through the listener's own verifier, and what is said of the request
//! is what [`Admission`] says.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::admission::{Admission, Arriving, Permit, Refused};
use crate::identity::{Certified, Peer, Trust, TrustDomain};
use crate::interaction;
use crate::moment::Moment;

/// The interaction id that a request has, unless it says otherwise.
const INTERACTION_ID: &str = "d78fc4e5-37ca-4da3-adf2-9b082bf92280";

/// A listener that asks for certificates.
pub(super) struct MutualDoor<'a> {
    pub(super) trust: &'a Trust,
    pub(super) domain: &'a Arc<TrustDomain>,
    /// The host that the client asks for in its handshake.
    pub(super) server_name: Option<&'a str>,
}

/// The handshake: what the listener's verifier says of a chain, and the connection. A failure is named as
/// `portaria cert verify` names it.
pub(super) fn shake_hands(
    door: &MutualDoor<'_>,
    chain: &[CertificateDer<'static>],
    now: Moment,
) -> Result<Peer, String> {
    if chain.is_empty() {
        // As TLS answers a client that shows none (RFC 8446 section 6.2).
        return Err("certificate_required".to_owned());
    }
    let at = UnixTime::since_unix_epoch(now.since_epoch());
    door.trust.verifier.verify(chain, at).map_err(|fault| fault.reason.to_string())?;
    let domain = door.domain.clone();
    let peer = Certified::in_handshake(chain, door.server_name, door.trust, domain, now);
    peer.map(|peer| Peer::Certified(Box::new(peer))).ok_or_else(|| "malformed".to_owned())
}

/// Judges a request, and if it has a body judges it again as the gateway does when the body is here.
pub(super) async fn judge(
    admission: &Admission,
    request: &mut Arriving<'_>,
    now: Moment,
) -> Result<Permit, Refused> {
    let permit = admission.admit(request, now).await?;
    match request.head.has_body {
        true => admission.confirm(permit.wait(), request.peer, now).await,
        false => Ok(permit),
    }
}

/// The fields that a good request has.
pub(super) fn good_fields(host: &str, has_body: bool) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    fields.insert(header::HOST, HeaderValue::from_str(host).ok()?);
    fields.insert(interaction::FIELD, HeaderValue::from_static(INTERACTION_ID));
    if has_body {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Some(fields)
}

/// A field such as `x-idempotency-key: key-1`.
pub(super) fn parse_field(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.parse().ok()?, value.trim().parse().ok()?))
}

/// Fields of a request's own, instead of the good ones of the same name.
pub(super) fn replace(
    fields: &mut HeaderMap,
    own: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) {
    // Apart, or the second of two own fields of one name would remove the first.
    let mut added = HeaderMap::new();
    for (name, value) in own {
        fields.remove(&name);
        added.append(name, value);
    }
    fields.extend(added);
}
