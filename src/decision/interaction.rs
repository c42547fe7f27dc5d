//! The interaction id: which one this exchange carries, and whether it may.
//!
//! Takes the request's `x-fapi-interaction-id` fields; gives the id that the answer echoes and
//! that the backend is told, minting a UUIDv4 where the caller's cannot be used; refuses a missing,
//! malformed or repeated id where the route's rule says so. The id is never a nonce: participants
//! use one id for a whole flow (the 2023 conformance logs show it), so a repetition across requests
//! is legitimate.
//!
//! Source: OPIN developer portal, HTTP headers; Open Banking Brasil FAPI profile 5.2.2 item 23. The
//! published patterns differ by API generation, hence [`Form`].

use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;
use uuid::Uuid;

/// The field that carries the id in both directions.
pub const FIELD: HeaderName = HeaderName::from_static("x-fapi-interaction-id");

const LONGEST: usize = 100;

/// The id of one exchange, echoed on its answer whatever the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InteractionId(HeaderValue);

impl InteractionId {
    /// A new UUIDv4.
    pub fn mint() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text: &str = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        // A hyphenated UUID is always a valid field value.
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unavailable")))
    }

    /// The id as a field value: cloning it copies no bytes.
    pub fn as_value(&self) -> &HeaderValue {
        &self.0
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Never the default: an id is letters, digits and hyphens.
        self.0.to_str().unwrap_or_default()
    }
}

/// A published pattern of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A UUID of any version, as in the 2.x and 3.x specifications.
    Uuid,
    /// `^[a-zA-Z0-9][a-zA-Z0-9\-]{0,99}$`, as in the 1.x specifications.
    Alphanumeric,
}

impl Form {
    /// Whether an id has this form.
    pub fn admits(self, value: &[u8]) -> bool {
        match self {
            // The library also takes braces, `urn:uuid:` and no hyphens; the patterns take none of them.
            Self::Uuid => value.len() == 36 && Uuid::try_parse_ascii(value).is_ok(),
            Self::Alphanumeric => {
                value.len() <= LONGEST
                    && value.first().is_some_and(u8::is_ascii_alphanumeric)
                    && value.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            }
        }
    }
}

/// What a route does with an id that it cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The request is refused.
    Refuse,
    /// The exchange gets a fresh UUIDv4.
    Mint,
}

/// The id of one attempt to notify, which the routes of notifications and callbacks have besides: there it must be, in
/// the route's form, and the answer echoes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// `x-callback-interaction-id`.
    Callback,
    /// `x-webhook-interaction-id`.
    Webhook,
}

impl Attempt {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Callback, Self::Webhook];

    /// The field that carries it in both directions.
    pub fn field(self) -> HeaderName {
        HeaderName::from_static(self.name())
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Callback => "x-callback-interaction-id",
            Self::Webhook => "x-webhook-interaction-id",
        }
    }
}

/// The rule of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InteractionRule {
    /// The pattern that the route's specification publishes.
    pub form: Form,
    /// What happens when the caller sends none.
    pub missing: Unusable,
    /// What happens when the caller's does not match `form`.
    pub malformed: Unusable,
    /// The id of an attempt that is asked for besides.
    pub also: Option<Attempt>,
}

impl InteractionRule {
    /// The id of the attempt, for the answer: nothing, if the route has none or the request no good one.
    pub fn attempt(&self, headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
        let name = self.also?.field();
        let mut values = headers.get_all(&name).iter();
        let value = values.next().filter(|value| self.form.admits(value.as_bytes()))?.clone();
        // Of two neither is echoed: a notification's sender could not tell which attempt was meant.
        values.next().is_none().then_some((name, value))
    }

    /// Requires the id of the attempt, where the route has one.
    ///
    /// # Errors
    ///
    /// [`InteractionError::Attempt`], a refusal, if the route has one and the request has none, more than
    /// one, or one of another form than the route's.
    pub fn require_attempt(&self, headers: &HeaderMap) -> Result<(), InteractionError> {
        if self.also.is_none() || self.attempt(headers).is_some() {
            return Ok(());
        }
        Err(InteractionError::Attempt)
    }
}

/// Why an id was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InteractionError {
    /// The route requires one and the request has none.
    #[error("x-fapi-interaction-id is missing")]
    Missing,
    /// It does not match the route's pattern.
    #[error("x-fapi-interaction-id does not match the pattern of the route")]
    Malformed,
    /// The request carries more than one.
    #[error("x-fapi-interaction-id is repeated")]
    Repeated,
    /// The route requires the id of an attempt, and the request has none, several, or one of another form.
    #[error(
        "x-callback-interaction-id or x-webhook-interaction-id is missing, repeated or malformed"
    )]
    Attempt,
}

/// What the caller sent, and the id that the exchange carries.
///
/// # Examples
///
/// A good id is echoed. For any other there is a minted one, whether or not the request is refused for it.
///
/// ```
/// # use http::{HeaderMap, HeaderValue};
/// # use portaria_decision::interaction::*;
/// # fn main() -> Result<(), InteractionError> {
/// let (form, missing, malformed) = (Form::Uuid, Unusable::Mint, Unusable::Refuse);
/// let rule = InteractionRule { form, missing, malformed, also: None };
/// let arrived = |id| HeaderMap::from_iter([(FIELD, HeaderValue::from_static(id))]);
///
/// let mut good = Interaction::read(&arrived("d78fc4e5-37ca-4da3-adf2-9b082bf92280"));
/// good.satisfies(&rule)?;
/// assert_eq!(good.id().as_str(), "d78fc4e5-37ca-4da3-adf2-9b082bf92280");
///
/// let mut none = Interaction::read(&HeaderMap::new());
/// none.satisfies(&rule)?;
/// assert!(Form::Uuid.admits(none.id().as_str().as_bytes()));
///
/// // An id of the 1.x specifications, on a route of a later one.
/// let mut older = Interaction::read(&arrived("quote-1"));
/// assert_eq!(older.id().as_str(), "quote-1", "no route is known yet");
/// assert_eq!(older.satisfies(&rule), Err(InteractionError::Malformed));
/// assert!(Form::Uuid.admits(older.id().as_str().as_bytes()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Interaction {
    id: InteractionId,
    received: Result<(), InteractionError>,
}

impl Interaction {
    /// Reads the request's fields. The caller's id is kept if any published pattern admits it; which
    /// one applies is known only with the route ([`Interaction::satisfies`]).
    pub fn read(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(&FIELD).iter();
        match (values.next(), values.next()) {
            // The wider form holds every UUID, and nothing that a log or a field would have to escape.
            (Some(value), None) if Form::Alphanumeric.admits(value.as_bytes()) => {
                Self { id: InteractionId(value.clone()), received: Ok(()) }
            }
            (Some(_), None) => Self::minted(InteractionError::Malformed),
            // Even two equal ones: which of them is echoed would be the reader's choice.
            (Some(_), Some(_)) => Self::minted(InteractionError::Repeated),
            (None, _) => Self::minted(InteractionError::Missing),
        }
    }

    fn minted(error: InteractionError) -> Self {
        Self { id: InteractionId::mint(), received: Err(error) }
    }

    /// The id of this exchange.
    pub fn id(&self) -> &InteractionId {
        &self.id
    }

    /// Replaces an id that has not this form by a minted one, so that no answer echoes what the route's rule
    /// does not admit: not even one that is refused before the rule is asked for.
    pub fn suit(&mut self, form: Form) {
        if self.received.is_ok() && !form.admits(self.id.0.as_bytes()) {
            // Minted rather than emptied: every answer has an id, a refusal's too.
            *self = Self::minted(InteractionError::Malformed);
        }
    }

    /// Judges the id by the route's rule.
    ///
    /// # Errors
    ///
    /// [`InteractionError::Missing`], [`InteractionError::Malformed`] or [`InteractionError::Repeated`], each
    /// a refusal and each only where the rule says [`Unusable::Refuse`]. The exchange has a minted id then.
    pub fn satisfies(&mut self, rule: &InteractionRule) -> Result<(), InteractionError> {
        self.suit(rule.form);
        let Err(error) = self.received else {
            return Ok(());
        };
        let unusable = match error {
            InteractionError::Missing => rule.missing,
            // The rule knows no third case: what cannot be used is malformed.
            InteractionError::Malformed
            | InteractionError::Repeated
            | InteractionError::Attempt => rule.malformed,
        };
        match unusable {
            Unusable::Refuse => Err(error),
            Unusable::Mint => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUIRE_UUID: InteractionRule = InteractionRule {
        form: Form::Uuid,
        missing: Unusable::Refuse,
        malformed: Unusable::Refuse,
        also: None,
    };

    fn read(values: &[&str]) -> Interaction {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&FIELD, value.parse().unwrap());
        }
        Interaction::read(&headers)
    }

    #[test]
    fn a_uuid_of_any_version_is_echoed() {
        for id in ["d78fc4e5-37ca-4da3-adf2-9b082bf92280", "00000000-0000-0000-0000-000000000000"] {
            let mut interaction = read(&[id]);
            assert_eq!(interaction.satisfies(&REQUIRE_UUID), Ok(()));
            assert_eq!(interaction.id().as_str(), id);
        }
    }

    #[test]
    fn what_the_rule_does_not_admit_is_never_echoed() {
        for (sent, error) in [
            (vec![], InteractionError::Missing),
            (vec!["flow-1"], InteractionError::Malformed),
            (vec!["-abc"], InteractionError::Malformed),
            (vec!["{d78fc4e5-37ca-4da3-adf2-9b082bf92280}"], InteractionError::Malformed),
            (vec!["d78fc4e537ca4da3adf29b082bf92280"], InteractionError::Malformed),
            (vec!["a", "a"], InteractionError::Repeated),
        ] {
            let mut interaction = read(&sent);
            assert_eq!(interaction.satisfies(&REQUIRE_UUID), Err(error), "{sent:?}");
            assert!(Form::Uuid.admits(interaction.id().as_str().as_bytes()), "{sent:?}");
        }
    }

    #[test]
    fn a_rule_that_mints_refuses_nothing() {
        let rule = InteractionRule {
            form: Form::Alphanumeric,
            missing: Unusable::Mint,
            malformed: Unusable::Mint,
            also: None,
        };
        for sent in [vec![], vec!["ok-1"], vec!["not ok"], vec!["a", "b"], vec![""]] {
            assert_eq!(read(&sent).satisfies(&rule), Ok(()), "{sent:?}");
        }
        assert_eq!(read(&["ok-1"]).id().as_str(), "ok-1");
    }

    #[test]
    fn the_alphanumeric_form_ends_at_100_characters() {
        assert!(Form::Alphanumeric.admits(&[b'a'; 100]));
        assert!(!Form::Alphanumeric.admits(&[b'a'; 101]));
    }
}
