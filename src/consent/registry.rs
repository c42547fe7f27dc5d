//! The consent registry: what the insurer's consent system says of a consent.
//!
//! Asks `GET {base}/consents/{consentId}`; the members of the answer are found by JSON pointers (RFC
//! 6901), because legacy registries name them as they like. 404 means that there is no such consent;
//! any other answer that is not a complete, understood description means that the gateway cannot
//! decide.

use http::StatusCode;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::permission::Permissions;
use super::{ConsentError, ConsentId, ConsentStatus};
use crate::remote::{Remote, RemoteError};

/// Where the members of the registry's answer are, as JSON pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// The consent's id: the one that was asked for.
    pub id: String,
    /// The state, in the regulator's spelling.
    pub status: String,
    /// An array of permission names.
    pub permissions: String,
    /// RFC 3339 date-time.
    pub expiration: String,
    /// The client that created the consent.
    pub client_id: String,
}

impl Default for Members {
    /// The member names of the OPIN consents API, and `clientId` beside them.
    fn default() -> Self {
        Self {
            id: "/data/consentId".into(),
            status: "/data/status".into(),
            permissions: "/data/permissions".into(),
            expiration: "/data/expirationDateTime".into(),
            client_id: "/data/clientId".into(),
        }
    }
}

/// What an answer without expiration means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingExpiration {
    /// That it was not understood: the OPIN consents API requires the member.
    Refuse,
    /// That the consent has no end.
    NeverExpires,
}

/// A consent as the registry describes it.
#[derive(Debug)]
pub struct RegisteredConsent {
    pub(crate) client_id: Box<str>,
    pub(super) status: ConsentStatus,
    pub(crate) permissions: Permissions,
    pub(super) expires_at: Option<i64>,
}

/// A client of the registry.
#[derive(Debug)]
pub struct Registry {
    remote: Remote,
    members: Members,
    missing_expiration: MissingExpiration,
}

impl Registry {
    /// A client of the registry at `remote`.
    pub fn new(remote: Remote, members: Members, missing_expiration: MissingExpiration) -> Self {
        Self { remote, members, missing_expiration }
    }

    /// Looks a consent up.
    pub async fn look_up(&self, id: &ConsentId) -> Result<RegisteredConsent, ConsentError> {
        let answer = self.remote.get(&["consents", id.reveal()]).await;
        let answer = answer.map_err(ConsentError::Registry)?;
        match answer.status {
            StatusCode::OK => read(&answer.body, id, &self.members, self.missing_expiration)
                .ok_or(ConsentError::Registry(RemoteError::Malformed)),
            StatusCode::NOT_FOUND => Err(ConsentError::Unknown),
            status => Err(ConsentError::Registry(RemoteError::Status(status))),
        }
    }
}

fn read(
    body: &[u8],
    id: &ConsentId,
    members: &Members,
    missing_expiration: MissingExpiration,
) -> Option<RegisteredConsent> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let text = |pointer: &str| json.pointer(pointer)?.as_str();
    // A registry that is lenient about the spelling of ids would let one consent be kept under two.
    if text(&members.id)? != id.reveal() {
        return None;
    }
    let permissions = json.pointer(&members.permissions)?.as_array()?;
    let permissions: Option<Vec<&str>> = permissions.iter().map(Value::as_str).collect();
    let expires_at = match json.pointer(&members.expiration) {
        None | Some(Value::Null) => match missing_expiration {
            MissingExpiration::NeverExpires => None,
            MissingExpiration::Refuse => return None,
        },
        Some(value) => {
            Some(OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()?.unix_timestamp())
        }
    };
    Some(RegisteredConsent {
        client_id: text(&members.client_id)?.into(),
        status: ConsentStatus::parse(text(&members.status)?)?,
        permissions: permissions?.into_iter().collect(),
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"data":{"consentId":"urn:x:1","status":"AUTHORISED","permissions":["RESOURCES_READ"],
        "expirationDateTime":"2300-01-01T00:00:00Z","clientId":"tpp-1"}}"#;

    fn read_answer(body: &str, missing: MissingExpiration) -> Option<RegisteredConsent> {
        let id = ConsentId::new("urn:x:1").unwrap();
        read(body.as_bytes(), &id, &Members::default(), missing)
    }

    #[test]
    fn a_consent_without_expiration_is_understood_only_if_configured() {
        for (member, value) in
            [("\"expirationDateTime\"", "\"end\""), ("\"2300-01-01T00:00:00Z\"", "null")]
        {
            let answer = GOOD.replacen(member, value, 1);
            assert!(read_answer(&answer, MissingExpiration::Refuse).is_none(), "{answer}");
            let consent = read_answer(&answer, MissingExpiration::NeverExpires).unwrap();
            assert_eq!(consent.expires_at, None);
        }
    }

    #[test]
    fn a_complete_answer_is_read() {
        let consent = read_answer(GOOD, MissingExpiration::Refuse).unwrap();
        assert_eq!(consent.status, ConsentStatus::Authorised);
        assert_eq!(consent.expires_at, Some(10_413_792_000));
        assert_eq!(&*consent.client_id, "tpp-1");
    }

    #[test]
    fn an_answer_that_is_not_understood_is_none() {
        for (good, bad) in [
            ("urn:x:1", "URN:X:1"),
            ("consentId", "id"),
            ("AUTHORISED", "ACTIVE"),
            ("\"AUTHORISED\"", "1"),
            ("[\"RESOURCES_READ\"]", "\"RESOURCES_READ\""),
            ("\"RESOURCES_READ\"", "7"),
            ("2300-01-01T00:00:00Z", "2300-01-01"),
            ("\"2300-01-01T00:00:00Z\"", "false"),
            ("clientId", "client"),
            ("data", "dados"),
            ("}}", "}"),
        ] {
            let answer = GOOD.replacen(good, bad, 1);
            assert!(read_answer(&answer, MissingExpiration::NeverExpires).is_none(), "{answer}");
        }
    }
}
