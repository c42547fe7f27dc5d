//! The fields: what the backend is told, what the caller gets.
//!
//! Takes a permit and the fields that arrived; gives the ones that leave. Nothing a caller sends reaches
//! a backend under a name that the gateway owns ([`caller`]), nothing that belongs to one connection
//! crosses to the other ([`connection`]), and every answer carries what the ecosystem asks for, on
//! every status.
//!
//! Sources: OPIN portal, HTTP headers; technical security controls 3.2 pages 24-27; RFC 9110 section
//! 7.6; RFC 9745 and 8594 (Deprecation, Sunset).

pub mod connection;
pub mod caller;
pub mod outgoing;
pub mod answer;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::interaction::{self, Attempt, InteractionId};
use crate::limits::Standing;
use crate::route::Lifetime;
use crate::version;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("x-rate-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-rate-limit-remaining");
const RATE_LIMIT_TIME: HeaderName = HeaderName::from_static("x-rate-limit-time");

/// What every answer carries (technical security controls 3.2, pages 24-25).
const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'")),
    (
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000; includeSubDomains"),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// What an answer says of its exchange.
#[derive(Clone, Copy, Debug)]
pub struct AnswerFacts<'a> {
    /// The interaction id.
    pub interaction: &'a InteractionId,
    /// The id of the attempt, where the route has one.
    pub attempt: Option<&'a (HeaderName, HeaderValue)>,
    /// The version of the API, where it is known.
    pub version: Option<&'a HeaderValue>,
    /// Until when the endpoint is in force, where it is known.
    pub lifetime: Option<&'a Lifetime>,
    /// The standing towards the quota, where it was measured.
    pub standing: Option<Standing>,
}

/// The fields of a cleared answer that are its own: not those that are set for each exchange, nor
/// what frames and dates a message.
pub fn lasting(answer: &HeaderMap) -> HeaderMap {
    let is_set_anew = |name: &HeaderName| {
        let of_exchange =
            [interaction::FIELD, version::FIELD, RATE_LIMIT, RATE_LIMIT_REMAINING, RATE_LIMIT_TIME];
        // A record is given again over another version of HTTP, at another time: its framing and date would
        // be of the first.
        let of_message = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::DATE];
        of_exchange.contains(name)
            || Attempt::ALL.iter().any(|attempt| attempt.name() == name.as_str())
            || of_message.contains(name)
            || SECURITY.iter().any(|(security, _)| security == name)
    };
    let own = answer.iter().filter(|(name, _)| !is_set_anew(name));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_exchange_does_not_last() {
        let mut headers = HeaderMap::new();
        headers.append(header::LINK, HeaderValue::from_static("<a>"));
        headers.append(header::LINK, HeaderValue::from_static("<b>"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let own = headers.clone();
        let interaction = InteractionId::mint();
        let version = HeaderValue::from_static("2.0.0");
        let standing = Some(Standing { limit: 1, remaining: 1, window_seconds: 1 });
        let (version, lifetime) = (Some(&version), None);
        let facts =
            AnswerFacts { interaction: &interaction, attempt: None, version, lifetime, standing };
        let own_fields = headers.clone();
        headers.clear();
        answer::AnswerFields { own: answer::Own::These(&own_fields), facts }.tell(&mut headers);
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::DATE] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        assert_eq!(lasting(&headers), own);
    }
}
