//! A request that two sets of policies are asked about, in the words of what it brings. It becomes a case, which
//! is made in earnest like those of files.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use time::{Duration, OffsetDateTime};

use super::case::{Before, CLIENT, HOST, KINDS, KnownConsent, TrialCase};
use super::certificate;
use super::token::{Binding, Token, good_claims};
use super::verdict::TrialVerdict;
use crate::config::document::{Mistakes, Place};
use crate::consent::ConsentKind;
use crate::interaction::{self, Attempt};
use crate::review::rehearsal::good_fields;
use crate::route::Exposure;
use crate::version;

const ANOTHER_CLIENT: &str = "client-2";
/// What may stand in a part of a path and in a query as it is (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// By what a caller is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::review) enum Credential {
    /// Nothing: it comes to a public listener.
    Nothing,
    /// A certificate that names no participant.
    Nameless,
    /// Its certificate.
    Certificate,
    /// A token that is another's: no rule takes it.
    Unbound,
    /// A token of its own.
    Own { scopes: Vec<String> },
    /// A customer's token and consent.
    Customers { scopes: Vec<String>, permissions: Vec<String> },
}

/// What a request brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::review) struct Probe {
    pub(in crate::review) method: Method,
    /// The segments, decoded.
    pub(in crate::review) path: Vec<String>,
    /// Decoded.
    pub(in crate::review) query: Vec<(String, String)>,
    pub(in crate::review) clock: OffsetDateTime,
    pub(in crate::review) credential: Credential,
    /// The consent that a customer's token names, and the client's own.
    pub(in crate::review) consent: String,
    /// What the token names it as, and the registry knows it as.
    pub(in crate::review) kinds: &'static [ConsentKind],
    /// Its state; nothing, if the registry does not know it.
    pub(in crate::review) status: Option<&'static str>,
    /// Whether it is the client's own.
    pub(in crate::review) is_own: bool,
    /// As what it is all that; as anything else it is a good one, which has `all_permissions`.
    pub(in crate::review) judged_as: &'static [ConsentKind],
    pub(in crate::review) all_permissions: Vec<String>,
    /// Another client's, which the registry knows too.
    pub(in crate::review) foreign: String,
    pub(in crate::review) interaction_id: Option<&'static str>,
    /// The ids of an attempt to notify that it has.
    pub(in crate::review) attempts: Vec<Attempt>,
    pub(in crate::review) idempotency_key: Option<&'static str>,
    pub(in crate::review) x_v: Option<String>,
    /// Whether it takes an answer of JSON.
    pub(in crate::review) accepts_json: bool,
    /// The media type of its body and how many bytes it has.
    pub(in crate::review) body: Option<(&'static str, u64)>,
    /// Whether it was sent before, and answered 201.
    pub(in crate::review) is_created: bool,
}

impl Probe {
    /// Both kinds of consents.
    pub(in crate::review) const KINDS: &'static [ConsentKind] = &KINDS;

    /// Path and query as they stand in the target.
    pub(in crate::review) fn target(&self) -> String {
        let encoded = |text: &String| utf8_percent_encode(text, RESERVED).to_string();
        let path: Vec<String> = self.path.iter().map(encoded).collect();
        let pair =
            |(name, value): &(String, String)| format!("{}={}", encoded(name), encoded(value));
        let query: Vec<String> = self.query.iter().map(pair).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/{}{mark}{}", path.join("/"), query.join("&"))
    }

    /// The case, with a participant of this prefix.
    pub(super) fn case(&self, prefix: &str) -> Option<TrialCase> {
        let exposure = match self.credential {
            Credential::Nothing => Exposure::Public,
            _ => Exposure::Mutual,
        };
        Some(TrialCase {
            place: Place::of_file("", &Mistakes::default()),
            name: String::new(),
            clock: self.clock,
            exposure,
            address: super::case::ADDRESS,
            certificate: match self.credential {
                Credential::Nothing => None,
                Credential::Nameless => Some(certificate::nameless(prefix, self.clock)),
                _ => Some(certificate::good(prefix, self.clock)),
            },
            method: self.method.clone(),
            path: self.target(),
            headers: self.fields()?,
            has_body: self.body.is_some(),
            token: self.token(),
            consents: Some(self.consents()),
            before: Before { is_created: self.is_created, ..Before::default() },
            expected: TrialVerdict::Allow,
        })
    }

    fn fields(&self) -> Option<HeaderMap> {
        let mut fields = good_fields(HOST, false)?;
        fields.remove(interaction::FIELD);
        let mut add = |name: HeaderName, value: &str| {
            fields.insert(name, HeaderValue::from_str(value).ok()?);
            Some(())
        };
        if let Some(id) = self.interaction_id {
            add(interaction::FIELD, id)?;
        }
        for attempt in &self.attempts {
            add(attempt.field(), "d78fc4e5-37ca-4da3-adf2-9b082bf92280")?;
        }
        if let Some(key) = self.idempotency_key {
            add(HeaderName::from_static("x-idempotency-key"), key)?;
        }
        if !self.accepts_json {
            add(header::ACCEPT, "text/html")?;
        }
        if let Some(version) = &self.x_v {
            add(version::FIELD, version)?;
        }
        if let Some((media, length)) = self.body {
            add(header::CONTENT_TYPE, media)?;
            // The length is all that admission sees of a body: one beyond any bound costs nothing here.
            add(header::CONTENT_LENGTH, &length.to_string())?;
        }
        Some(fields)
    }

    fn token(&self) -> Option<Token> {
        let (scopes, subject, bound_to): (&[String], _, _) = match &self.credential {
            Credential::Nothing | Credential::Nameless | Credential::Certificate => return None,
            Credential::Unbound => (&[], None, Binding::Another),
            Credential::Own { scopes } => (scopes, None, Binding::Certificate),
            Credential::Customers { scopes, .. } => {
                (scopes, Some("customer"), Binding::Certificate)
            }
        };
        let mut claims = good_claims(self.clock);
        let mut words: Vec<String> = Vec::new();
        if let Some(subject) = subject {
            claims.insert("sub".to_owned(), subject.into());
            let named = |kind: &ConsentKind| format!("{}:{}", named(*kind), self.consent);
            words.push("openid".to_owned());
            words.extend(self.kinds.iter().map(named));
        }
        words.extend(scopes.iter().cloned());
        claims.insert("scope".to_owned(), words.join(" ").into());
        Some(Token { claims, bound_to })
    }

    fn consents(&self) -> Vec<KnownConsent> {
        let permissions: &[String] = match &self.credential {
            Credential::Customers { permissions, .. } => permissions,
            _ => &[],
        };
        let known = |id: &String, client: &str, kinds| KnownConsent {
            id: id.clone(),
            status: "AUTHORISED".to_owned(),
            permissions: permissions.to_vec(),
            client_id: client.to_owned(),
            expires: self.clock.saturating_add(Duration::DAY),
            kinds,
        };
        let client = if self.is_own { CLIENT } else { ANOTHER_CLIENT };
        let own = self.kinds.iter().filter_map(|kind| match self.judged_as.contains(kind) {
            true => Some(KnownConsent {
                status: self.status?.to_owned(),
                ..known(&self.consent, client, only(*kind))
            }),
            false => Some(KnownConsent {
                permissions: self.all_permissions.clone(),
                ..known(&self.consent, CLIENT, only(*kind))
            }),
        });
        let foreign = known(&self.foreign, ANOTHER_CLIENT, &KINDS);
        std::iter::once(foreign).chain(own).collect()
    }
}

/// One kind of consents.
pub(in crate::review) fn only(kind: ConsentKind) -> &'static [ConsentKind] {
    match kind {
        ConsentKind::Consent => &[ConsentKind::Consent],
        ConsentKind::Enrollment => &[ConsentKind::Enrollment],
    }
}

fn named(kind: ConsentKind) -> &'static str {
    match kind {
        ConsentKind::Consent => "consent",
        ConsentKind::Enrollment => "enrollment",
    }
}
