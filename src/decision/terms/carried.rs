//! Terms that a token carries: among its claims, or in an element of its `authorization_details` (RFC
//! 9396). An introspection answer has the same claims.
//!
//! A token that carries none is nobody's fault: a client's own has no consent. One that carries half of
//! them, or two, is not understood.

use serde_json::{Map, Value};
use thiserror::Error;

use super::{MissingExpiration, States, Terms, end};
use crate::scope::{ConsentId, ConsentKind};

/// The member of a token that has details of what was authorised.
const DETAILS: &str = "authorization_details";

/// Which element of `authorization_details` is the consent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetailsType {
    /// The member that says of what type an element is; `type` in RFC 9396.
    pub member: String,
    /// The type.
    pub value: String,
}

/// How a token carries the terms of its consent: JSON pointers into the element of
/// `authorization_details`, or into the claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrying {
    /// The element; without, the claims themselves.
    pub details: Option<DetailsType>,
    /// The consent's id; without, a scope or a claim names it.
    pub id: Option<String>,
    /// The state; without, that the token was issued says that the consent is AUTHORISED.
    pub status: Option<String>,
    /// An array of permission names.
    pub permissions: String,
    /// When the consent ends; without, it ends with the token.
    pub expiration: Option<String>,
    /// The client that created it; without, it is the token's.
    pub client_id: Option<String>,
    /// The states that there are.
    pub states: States,
    /// What an absent expiration means, where it is looked for.
    pub missing_expiration: MissingExpiration,
}

/// Something is missing, of another type, unknown, or stands twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("what the token says of its consent is not understood")]
pub struct NotUnderstood;

impl Carrying {
    /// Reads the terms of the consent that the token names elsewhere, or there.
    ///
    /// # Errors
    ///
    /// [`NotUnderstood`] if what the token says of its consent is incomplete, stands twice, has another type
    /// or an unknown state, or is of another consent than the token names: the token is refused.
    pub fn read(
        &self,
        claims: &Value,
        named: Option<&ConsentId>,
        client_id: &str,
    ) -> Result<Option<Terms>, NotUnderstood> {
        let Some(description) = self.description(claims)? else {
            return Ok(None);
        };
        let id = match &self.id {
            Some(pointer) => {
                Some(ConsentId::new(text(description, pointer)?).ok_or(NotUnderstood)?)
            }
            None => named.cloned(),
        };
        let Some(id) = id else { return Ok(None) };
        // A token that names two: the terms of one must not be taken for those of the other.
        if named.is_some_and(|named| *named != id) {
            return Err(NotUnderstood);
        }
        self.terms(description, id, client_id).map(Some)
    }

    /// What describes the consent, if anything does.
    fn description<'a>(&self, claims: &'a Value) -> Result<Option<&'a Value>, NotUnderstood> {
        let Some(of_type) = &self.details else {
            let pointers =
                [Some(&self.permissions), self.id.as_ref(), self.status.as_ref()].into_iter();
            // One of them is enough: half of a description is refused further on, not taken for none.
            let any = pointers.flatten().any(|pointer| claims.pointer(pointer).is_some());
            return Ok(any.then_some(claims));
        };
        let Some(details) = claims.get(DETAILS) else {
            return Ok(None);
        };
        let mut found = None;
        for element in details.as_array().ok_or(NotUnderstood)? {
            let element_type = element.as_object().and_then(|members| type_of(members, of_type));
            // Every element has a type (RFC 9396 section 2); one without could be the consent's.
            let is_consents = element_type.ok_or(NotUnderstood)? == of_type.value;
            // Which of two the authorization server means, nobody knows.
            if is_consents && found.replace(element).is_some() {
                return Err(NotUnderstood);
            }
        }
        Ok(found)
    }

    fn terms(
        &self,
        description: &Value,
        id: ConsentId,
        client_id: &str,
    ) -> Result<Terms, NotUnderstood> {
        let status = match &self.status {
            Some(pointer) => text(description, pointer)?,
            // An authorization server issues no token under a consent that is not.
            None => "AUTHORISED",
        };
        let expires_at = match &self.expiration {
            None => None,
            Some(pointer) => {
                end(description, pointer, self.missing_expiration).ok_or(NotUnderstood)?
            }
        };
        let client_id = match &self.client_id {
            Some(pointer) => text(description, pointer)?,
            // The token's own: it was issued to the client whose consent it names.
            None => client_id,
        };
        let permissions = description.pointer(&self.permissions).and_then(Value::as_array);
        let permissions: Option<_> =
            permissions.ok_or(NotUnderstood)?.iter().map(Value::as_str).collect();
        Ok(Terms {
            id,
            client_id: client_id.into(),
            permissions: permissions.ok_or(NotUnderstood)?,
            linked: None,
            status: self.states.parse(ConsentKind::Consent, status).ok_or(NotUnderstood)?,
            expires_at,
            // A token is issued behind the confirmation: there is no window for one to watch.
            created_at: None,
        })
    }
}

fn type_of<'a>(members: &'a Map<String, Value>, of_type: &DetailsType) -> Option<&'a str> {
    members.get(&of_type.member)?.as_str()
}

fn text<'a>(description: &'a Value, pointer: &str) -> Result<&'a str, NotUnderstood> {
    description.pointer(pointer).and_then(Value::as_str).ok_or(NotUnderstood)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn carrying() -> Carrying {
        Carrying {
            details: Some(DetailsType { member: "type".into(), value: "urn:x:consent".into() }),
            id: Some("/id".into()),
            status: Some("/status".into()),
            permissions: "/permissions".into(),
            expiration: Some("/expires".into()),
            client_id: None,
            states: States { consumed: true },
            missing_expiration: MissingExpiration::Refuse,
        }
    }

    fn element() -> Value {
        json!({"type": "urn:x:consent", "id": "urn:x:1", "status": "AUTHORISED",
            "permissions": ["A"], "expires": "2200-01-01T00:00:00Z"})
    }

    fn read(carrying: &Carrying, details: &Value) -> Result<Option<Terms>, NotUnderstood> {
        carrying.read(&json!({"authorization_details": details}), None, "tpp-1")
    }

    #[test]
    fn the_element_of_the_type_is_read() {
        let other = json!({"type": "urn:x:other", "id": 7});
        for details in [json!([element()]), json!([other, element()]), json!([element(), other])] {
            let terms = read(&carrying(), &details).unwrap().unwrap();
            assert_eq!((terms.id.reveal(), &*terms.client_id), ("urn:x:1", "tpp-1"));
        }
        assert!(read(&carrying(), &json!([other])).unwrap().is_none());
        assert!(read(&carrying(), &json!([])).unwrap().is_none());
        assert!(carrying().read(&json!({}), None, "tpp-1").unwrap().is_none());
    }

    #[test]
    fn details_that_are_none_are_not_understood() {
        for details in [
            json!(null),
            json!({}),
            json!("urn:x:consent"),
            element(),
            json!([element(), element()]),
            json!([element(), 7]),
            json!([element(), {}]),
            json!([element(), {"type": 7}]),
        ] {
            assert_eq!(read(&carrying(), &details).err(), Some(NotUnderstood), "{details}");
        }
    }

    #[test]
    fn half_a_consent_is_not_understood() {
        for (member, value) in [
            ("id", json!("a b")),
            ("id", json!(1)),
            ("status", json!("ACTIVE")),
            ("permissions", json!("A")),
            ("permissions", json!(["A", 1])),
            ("expires", json!("2024-03-28T15:27:13+030")),
            ("expires", json!(1)),
        ] {
            let mut changed = element();
            changed[member] = value.clone();
            let read = |details| read(&carrying(), &details).err();
            assert_eq!(read(json!([changed])), Some(NotUnderstood), "{member}: {value}");
            changed.as_object_mut().unwrap().remove(member);
            assert_eq!(read(json!([changed])), Some(NotUnderstood), "without {member}");
        }
    }

    #[test]
    fn what_names_the_consent_twice_agrees() {
        let claims = json!({"authorization_details": [element()]});
        let named = |id| carrying().read(&claims, ConsentId::new(id).as_ref(), "tpp-1");
        assert!(named("urn:x:1").unwrap().is_some());
        assert_eq!(named("urn:x:2").err(), Some(NotUnderstood));
        let by_scope = Carrying { id: None, ..carrying() };
        let id = ConsentId::new("urn:x:2");
        assert_eq!(by_scope.read(&claims, id.as_ref(), "tpp-1").unwrap().unwrap().id, id.unwrap());
        assert!(by_scope.read(&claims, None, "tpp-1").unwrap().is_none());
    }

    #[test]
    fn the_claims_themselves_may_be_the_description() {
        let flat = Carrying { details: None, ..carrying() };
        let terms = flat.read(&element(), None, "tpp-1").unwrap().unwrap();
        assert_eq!(terms.id.reveal(), "urn:x:1");
        assert!(flat.read(&json!({"scope": "x"}), None, "tpp-1").unwrap().is_none());
        for member in ["id", "status", "permissions", "expires"] {
            let mut half = element();
            half.as_object_mut().unwrap().remove(member);
            assert_eq!(flat.read(&half, None, "tpp-1").err(), Some(NotUnderstood), "{member}");
        }
    }
}
