//! Which requests two rules of one route decide differently, as far as the rules alone can tell.
//!
//! A request is described by what it brings: exactly what one of the rules asks for. Consent states and
//! limits are the same to both.

use http::HeaderMap;
use serde::Serialize;

use crate::consent::ConsentKind;
use crate::interaction::{FIELD, Interaction, InteractionRule};
use crate::request::media::Media;
use crate::route::{Access, Route};

/// Requests of one kind to one route, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The method.
    pub method: String,
    /// The template.
    pub path: String,
    /// What the requests bring.
    pub request: String,
    /// The scope of their tokens, if that tells them from others.
    pub scope: Option<String>,
    /// The permission of their consents, if that tells them from others.
    pub permission: Option<String>,
    /// What becomes of them.
    pub becomes: Becomes,
}

/// What becomes of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Becomes {
    /// They were refused.
    Allowed,
    /// They were allowed.
    Refused,
}

impl Becomes {
    fn of(before: bool, after: bool) -> Option<Self> {
        match (before, after) {
            (false, true) => Some(Self::Allowed),
            (true, false) => Some(Self::Refused),
            (true, true) | (false, false) => None,
        }
    }
}

/// What becomes of the requests to a route, where `before` decided them and `after` will.
pub fn compare(named: &Route, before: Option<&Route>, after: Option<&Route>) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut decide = |request: String, held: Option<&Access>, before: bool, after: bool| {
        let Some(becomes) = Becomes::of(before, after) else { return };
        let (scope, permission) = held.map(credentials).unwrap_or_default();
        let (method, path) = (named.method.to_string(), named.label.to_string());
        decisions.push(Decision { method, path, request, scope, permission, becomes });
    };
    let admits = |held: &Access, route: Option<&Route>| {
        route.is_some_and(|route| satisfies(held, &route.access))
    };
    let mut accesses: Vec<&Access> = Vec::new();
    for route in [before, after].into_iter().flatten() {
        if !accesses.iter().any(|known| is_same(known, &route.access)) {
            accesses.push(&route.access);
        }
    }
    for held in accesses {
        decide(describe(held), Some(held), admits(held, before), admits(held, after));
    }
    if let (Some(before), Some(after)) = (before, after) {
        for (request, was, is) in conditions(before, after) {
            decide(request.to_owned(), None, was, is);
        }
    }
    decisions
}

/// Whether a request that has exactly what `held` asks for gives what `asked` asks for.
pub fn satisfies(held: &Access, asked: &Access) -> bool {
    match (held, asked) {
        (_, Access::Open) => true,
        (Access::Open, _) => false,
        (Access::Event, _) | (_, Access::Event) => false,
        (_, Access::Certificate) => true,
        (Access::Client { .. }, Access::Client { .. })
        | (Access::Consented { .. }, Access::Consented { .. }) => is_same(held, asked),
        (Access::Certificate | Access::Client { .. } | Access::Consented { .. }, _) => false,
    }
}

/// Whether two rules admit the same requests: what is done under a consent decides nothing.
pub fn is_same(one: &Access, other: &Access) -> bool {
    match (one, other) {
        (
            Access::Consented { scope, permission, to: _ },
            Access::Consented { scope: other_scope, permission: other_permission, to: _ },
        ) => scope == other_scope && permission == other_permission,
        (one, other) => one == other,
    }
}

fn credentials(access: &Access) -> (Option<String>, Option<String>) {
    match access {
        Access::Open | Access::Certificate | Access::Event => (None, None),
        Access::Client { scope } => (Some(scope.as_str().to_owned()), None),
        Access::Consented { scope, permission, to: _ } => {
            (Some(scope.as_str().to_owned()), Some(permission.as_str().to_owned()))
        }
    }
}

fn describe(access: &Access) -> String {
    match access {
        Access::Open => "anyone's".to_owned(),
        Access::Certificate => "a participant's, by its certificate".to_owned(),
        Access::Event => "the consent registry's, by its signature".to_owned(),
        Access::Client { scope } => {
            format!("a participant's own, with scope {}", scope.as_str())
        }
        Access::Consented { scope, permission, to: _ } => format!(
            "for a customer, with scope {} and permission {}",
            scope.as_str(),
            permission.as_str()
        ),
    }
}

type Condition = (&'static str, bool, bool);

/// What else a request may lack, and whether it passes without.
fn conditions(before: &Route, after: &Route) -> Vec<Condition> {
    let both = |passes: fn(&Route) -> bool| (passes(before), passes(after));
    let mut conditions: Vec<Condition> = Vec::new();
    let mut add = |request, (was, is): (bool, bool)| conditions.push((request, was, is));
    let (was, is) = (before.shadow.until(), after.shadow.until());
    add("that the rules refuse, before the day of shadow_until", (was > is, is > was));
    add("without x-idempotency-key", both(|route| !route.idempotency_key));
    add("asking for a version that is not served", both(|route| route.negotiated.is_none()));
    add("with an unknown name in its query", both(|route| !route.parameters.refuses_others));
    add("with a body of application/json", both(|route| route.media == Media::Json));
    add("with a body of a form", both(|route| route.media == Media::Form));
    let other = "for a consent of the path that is not the token's or the client's own";
    add(other, both(|route| route.consent_parameter.is_none()));
    for (request, kind) in [
        ("with a token that names a consent and no enrollment", ConsentKind::Consent),
        ("with a token that names an enrollment and no consent", ConsentKind::Enrollment),
    ] {
        let is_of = |route: &Route| route.inquiry.kind == kind;
        conditions.push((request, is_of(before), is_of(after)));
    }
    for (request, id) in [
        ("without x-fapi-interaction-id", None),
        ("with an x-fapi-interaction-id that is no UUID", Some("a-1")),
        ("with an x-fapi-interaction-id of no known form", Some("-")),
    ] {
        let passes = |route: &Route| passes_interaction(&route.interaction, id);
        conditions.push((request, passes(before), passes(after)));
    }
    conditions
}

/// Asks the gateway's own code.
pub(super) fn passes_interaction(rule: &InteractionRule, id: Option<&'static str>) -> bool {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert(FIELD, http::HeaderValue::from_static(id));
    }
    Interaction::read(&headers).satisfies(rule).is_ok()
}
