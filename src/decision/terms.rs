//! What a consent says of itself: its state, its permissions, its end.
//!
//! Takes JSON in which a registry or a token describes a consent; gives its [`Terms`]. The members are
//! found by JSON pointers (RFC 6901), because legacy systems name them as they like. What is missing, of
//! another type or unknown makes the whole not understood: nobody may act on half a consent.
//!
//! Standard: OPIN consents API, versions 2 and 3; Open Finance Brasil consents API 2.2 and 3.0. Leaves to
//! others: what the terms permit, to whom and when (`consent`).

pub mod carried;
pub mod permission;
pub mod status;

use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::moment::Moment;
use crate::scope::{ConsentId, ConsentKind};
pub use carried::{Carrying, DetailsType};
pub use permission::{Permission, Permissions};
pub use status::{ConsentStatus, States};

/// Where the members of a description are, as JSON pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPointers {
    /// The consent's id.
    pub id: String,
    /// The state, in the regulator's spelling.
    pub status: String,
    /// An array of permission names.
    pub permissions: String,
    /// When it ends: RFC 3339 date-time.
    pub expiration: String,
    /// When it was created: RFC 3339 date-time. May be absent.
    pub created: String,
    /// The client that created it.
    pub client_id: String,
    /// The consent that it is linked to. May be absent, or nowhere.
    pub linked: Option<String>,
}

impl MemberPointers {
    /// The member names of the consents and enrollments APIs, and `clientId` beside them.
    pub fn of(kind: ConsentKind) -> Self {
        Self {
            id: match kind {
                ConsentKind::Consent => "/data/consentId".into(),
                ConsentKind::Enrollment => "/data/enrollmentId".into(),
            },
            status: "/data/status".into(),
            permissions: "/data/permissions".into(),
            expiration: "/data/expirationDateTime".into(),
            created: "/data/creationDateTime".into(),
            client_id: "/data/clientId".into(),
            linked: None,
        }
    }
}

/// What a description without expiration means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingExpiration {
    /// That it was not understood: the OPIN consents API requires the member.
    Refuse,
    /// That the consent has no end: the member is optional in Open Finance Brasil since version 3.0.
    NeverExpires,
}

/// How descriptions are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Of what.
    pub kind: ConsentKind,
    /// Where the members are.
    pub members: MemberPointers,
    /// The states that there are.
    pub states: States,
    /// What an absent expiration means.
    pub missing_expiration: MissingExpiration,
}

/// What a consent says of itself. Debug says nothing: it may name the client.
pub struct Terms {
    /// Its id.
    pub id: ConsentId,
    /// The client that created it.
    pub client_id: Box<str>,
    /// What it permits.
    pub permissions: Permissions,
    /// The consent that shares its fate (Open Finance Brasil, Jornada Otimizada).
    pub linked: Option<ConsentId>,
    status: ConsentStatus,
    /// Seconds since 1970; nothing for a consent without end.
    expires_at: Option<i64>,
    created_at: Option<i64>,
}

impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Terms(..)")
    }
}

/// 2300-01-01T00:00:00Z, which Open Finance Brasil 2.2 writes for a consent without end.
const NO_END: i64 = 10_413_792_000;

impl Reading {
    /// Reads a description; nothing if any of it is not understood.
    pub fn read(&self, json: &Value) -> Option<Terms> {
        let text = |pointer: &str| json.pointer(pointer)?.as_str();
        let members = &self.members;
        let permissions = json.pointer(&members.permissions)?.as_array()?;
        let permissions: Option<Permissions> = permissions.iter().map(Value::as_str).collect();
        Some(Terms {
            id: ConsentId::new(text(&members.id)?)?,
            // Asked of every registry, though no consents API has the member: without it
            // anybody's consent would do.
            client_id: text(&members.client_id)?.into(),
            permissions: permissions?,
            linked: self.linked(json)?,
            status: self.states.parse(self.kind, text(&members.status)?)?,
            expires_at: end(json, &members.expiration, self.missing_expiration)?,
            created_at: date(json, &members.created)?,
        })
    }

    /// The linked consent; nothing inside if there is none, nothing at all if it is not understood.
    fn linked(&self, json: &Value) -> Option<Option<ConsentId>> {
        match self.members.linked.as_deref().and_then(|pointer| json.pointer(pointer)) {
            None | Some(Value::Null) => Some(None),
            Some(id) => Some(Some(ConsentId::new(id.as_str()?)?)),
        }
    }
}

/// When a consent ends; nothing inside if it has no end, nothing at all if that is not understood.
fn end(json: &Value, pointer: &str, missing: MissingExpiration) -> Option<Option<i64>> {
    match date(json, pointer)? {
        None if missing == MissingExpiration::Refuse => None,
        None | Some(NO_END) => Some(None),
        Some(date) => Some(Some(date)),
    }
}

/// A date in seconds since 1970; nothing inside if it is absent or null, nothing at all if it is no date.
fn date(json: &Value, pointer: &str) -> Option<Option<i64>> {
    match json.pointer(pointer) {
        None | Some(Value::Null) => Some(None),
        Some(value) => {
            // Fractions are cut off below: a consent ends within its last second, never behind it.
            let date = OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()?;
            Some(Some(date.unix_timestamp()))
        }
    }
}

impl Terms {
    /// The bytes that they take.
    pub fn size(&self) -> usize {
        let linked = self.linked.as_ref().map_or(0, |id| id.reveal().len());
        let texts = self.id.reveal().len() + self.client_id.len() + linked;
        size_of::<Self>() + texts + self.permissions.size()
    }

    /// Its state at a time: a consent that was not confirmed within the window of authorisation is
    /// REJECTED, whether or not somebody has written that down.
    pub fn status_at(&self, now: Moment, window: Option<Duration>) -> ConsentStatus {
        match (self.status, self.created_at, window) {
            (ConsentStatus::AwaitingAuthorisation, Some(created_at), Some(window)) => {
                let until = created_at.saturating_add(whole_seconds(window.as_secs()));
                if until <= whole_seconds(now.unix_seconds()) {
                    ConsentStatus::Rejected
                } else {
                    self.status
                }
            }
            // Without a date of creation no window can be told to be over; AWAITING_AUTHORISATION permits
            // nothing either way.
            (status, ..) => status,
        }
    }

    /// Whether it is past its end.
    pub fn has_expired(&self, now: Moment) -> bool {
        let now = whole_seconds(now.unix_seconds());
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

fn whole_seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const GOOD: &str = r#"{"data":{"consentId":"urn:x:1","status":"AUTHORISED","permissions":["RESOURCES_READ"],
        "expirationDateTime":"2030-01-01T00:00:00Z","creationDateTime":"2026-01-01T00:00:00Z","clientId":"tpp-1"}}"#;
    const YEAR_2603: u64 = 20_000_000_000;
    const CREATED: u64 = 1_767_225_600;
    const WINDOW: Option<Duration> = Some(Duration::from_secs(3600));

    fn read(json: &str, missing_expiration: MissingExpiration) -> Option<Terms> {
        let kind = ConsentKind::Consent;
        let members =
            MemberPointers { linked: Some("/data/linkId".into()), ..MemberPointers::of(kind) };
        let states = States { consumed: true };
        let reading = Reading { kind, members, states, missing_expiration };
        reading.read(&serde_json::from_str(json).ok()?)
    }

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::ZERO, UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn a_complete_description_is_read() {
        let terms = read(GOOD, MissingExpiration::Refuse).unwrap();
        assert_eq!(terms.id.reveal(), "urn:x:1");
        assert_eq!(&*terms.client_id, "tpp-1");
        assert_eq!(terms.status_at(at(CREATED), None), ConsentStatus::Authorised);
        assert_eq!(terms.expires_at, Some(1_893_456_000));
        assert_eq!(terms.created_at, Some(1_767_225_600));
    }

    #[test]
    fn an_absent_expiration_is_understood_only_if_configured() {
        for (member, value) in
            [("\"expirationDateTime\"", "\"end\""), ("\"2030-01-01T00:00:00Z\"", "null")]
        {
            let json = GOOD.replacen(member, value, 1);
            assert!(read(&json, MissingExpiration::Refuse).is_none(), "{json}");
            let terms = read(&json, MissingExpiration::NeverExpires).unwrap();
            assert!(!terms.has_expired(at(YEAR_2603)), "{json}");
        }
    }

    #[test]
    fn the_year_2300_is_no_end() {
        for (text, ends) in [
            ("2300-01-01T00:00:00Z", false),
            ("2299-12-31T21:00:00-03:00", false),
            ("2299-12-31T23:59:59Z", true),
            ("2300-01-01T00:00:01Z", true),
        ] {
            let json = GOOD.replacen("2030-01-01T00:00:00Z", text, 1);
            let terms = read(&json, MissingExpiration::Refuse).unwrap();
            assert_eq!(terms.has_expired(at(YEAR_2603)), ends, "{text}");
        }
    }

    #[test]
    fn what_is_not_confirmed_in_time_is_rejected() {
        let awaiting = GOOD.replacen("AUTHORISED", "AWAITING_AUTHORISATION", 1);
        let undated = awaiting.replacen("creationDateTime", "since", 1);
        let status = |json: &str, now, window| {
            read(json, MissingExpiration::Refuse).unwrap().status_at(at(now), window)
        };
        let awaits = ConsentStatus::AwaitingAuthorisation;
        assert_eq!(status(&awaiting, CREATED + 3599, WINDOW), awaits);
        assert_eq!(status(&awaiting, CREATED + 3600, WINDOW), ConsentStatus::Rejected);
        assert_eq!(status(&awaiting, CREATED + 3600, None), awaits);
        assert_eq!(status(&undated, CREATED + 3600, WINDOW), awaits);
        assert_eq!(status(GOOD, CREATED + 3600, WINDOW), ConsentStatus::Authorised);
    }

    #[test]
    fn a_description_that_is_not_understood_is_none() {
        for (good, bad) in [
            ("urn:x:1", "urn:x: 1"),
            ("consentId", "id"),
            ("AUTHORISED", "ACTIVE"),
            ("AUTHORISED", "authorised"),
            ("\"AUTHORISED\"", "1"),
            ("[\"RESOURCES_READ\"]", "\"RESOURCES_READ\""),
            ("\"RESOURCES_READ\"", "7"),
            ("2030-01-01T00:00:00Z", "2030-01-01"),
            ("\"2030-01-01T00:00:00Z\"", "false"),
            ("2026-01-01T00:00:00Z", "yesterday"),
            ("clientId", "client"),
            ("\"clientId\"", "\"linkId\":\"\",\"clientId\""),
            ("\"clientId\"", "\"linkId\":7,\"clientId\""),
            ("data", "dados"),
            ("}}", "}"),
        ] {
            let json = GOOD.replacen(good, bad, 1);
            assert!(read(&json, MissingExpiration::NeverExpires).is_none(), "{json}");
        }
    }
}
