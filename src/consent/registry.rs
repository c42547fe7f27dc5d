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
    /// The state, in the regulator's spelling.
    pub status: String,
    /// An array of permission names.
    pub permissions: String,
    /// RFC 3339 date-time; a consent without it does not expire.
    pub expiration: String,
    /// The client that created the consent.
    pub client_id: String,
}

impl Default for Members {
    /// The member names of the OPIN consents API, and `clientId` beside them.
    fn default() -> Self {
        Self {
            status: "/data/status".into(),
            permissions: "/data/permissions".into(),
            expiration: "/data/expirationDateTime".into(),
            client_id: "/data/clientId".into(),
        }
    }
}

/// A consent as the registry describes it.
#[derive(Debug)]
pub struct RegisteredConsent {
    pub(super) client_id: Box<str>,
    pub(super) status: ConsentStatus,
    pub(super) permissions: Permissions,
    pub(super) expires_at: Option<i64>,
}

/// A client of the registry.
#[derive(Debug)]
pub struct Registry {
    remote: Remote,
    members: Members,
}

impl Registry {
    /// A client of the registry at `remote`.
    pub fn new(remote: Remote, members: Members) -> Self {
        Self { remote, members }
    }

    /// Looks a consent up.
    pub async fn look_up(&self, id: &ConsentId) -> Result<RegisteredConsent, ConsentError> {
        let answer = self.remote.get(&["consents", id.reveal()]).await;
        let answer = answer.map_err(ConsentError::Registry)?;
        match answer.status {
            StatusCode::OK => read(&answer.body, &self.members)
                .ok_or(ConsentError::Registry(RemoteError::Malformed)),
            StatusCode::NOT_FOUND => Err(ConsentError::Unknown),
            status => Err(ConsentError::Registry(RemoteError::Status(status))),
        }
    }
}

fn read(body: &[u8], members: &Members) -> Option<RegisteredConsent> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let text = |pointer: &str| json.pointer(pointer)?.as_str();
    let permissions = json.pointer(&members.permissions)?.as_array()?;
    let permissions: Option<Vec<&str>> = permissions.iter().map(Value::as_str).collect();
    let expires_at = match json.pointer(&members.expiration) {
        None | Some(Value::Null) => None,
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

    const GOOD: &str = r#"{"data":{"status":"AUTHORISED","permissions":["RESOURCES_READ"],
        "expirationDateTime":"2300-01-01T00:00:00Z","clientId":"tpp-1"}}"#;

    #[test]
    fn a_complete_answer_is_read() {
        let consent = read(GOOD.as_bytes(), &Members::default()).unwrap();
        assert_eq!(consent.status, ConsentStatus::Authorised);
        assert_eq!(consent.expires_at, Some(10_413_792_000));
        assert_eq!(&*consent.client_id, "tpp-1");
    }

    #[test]
    fn an_answer_that_is_not_understood_is_none() {
        for (good, bad) in [
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
            assert!(read(answer.as_bytes(), &Members::default()).is_none(), "{answer}");
        }
    }
}
