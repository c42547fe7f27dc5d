//! What requests to one route may differ in, as far as one of two rules of it can tell: the bounds of each key,
//! and what lies just beyond them.
//!
//! Every stage of admission asks for something of its own, so two rules admit the same requests if and only if
//! they admit the same of each of these dimensions. Values that stand for all others are enough: what lies
//! between two bounds is judged alike.

mod parameters;

use http::Method;

use super::trial::{Credential, Probe};
use crate::config::offline::CONTENT_METHODS;
use crate::consent::{ConsentKind, ConsentUse};
use crate::request::media::Media;
use crate::route::{Access, Route};
pub(super) use parameters::Values;

/// One way to be.
pub(super) struct Value {
    /// In the words of a difference; nothing, if it is only there to be good, or to be refused by the rules.
    pub(super) label: Option<String>,
    /// The rule of which it brings all.
    pub(super) held: Option<Access>,
    change: Box<dyn Fn(&mut Probe)>,
}

impl Value {
    fn new(label: Option<String>, change: impl Fn(&mut Probe) + 'static) -> Self {
        Self { label, held: None, change: Box::new(change) }
    }

    fn told(label: impl Into<String>, change: impl Fn(&mut Probe) + 'static) -> Self {
        Self::new(Some(label.into()), change)
    }

    fn silent(change: impl Fn(&mut Probe) + 'static) -> Self {
        Self::new(None, change)
    }

    /// A request that is so.
    pub(super) fn of(&self, probe: &Probe) -> Probe {
        let mut changed = probe.clone();
        (self.change)(&mut changed);
        changed
    }
}

/// What requests differ in.
pub(super) struct Dimension {
    pub(super) values: Vec<Value>,
    /// Whether one value that is judged otherwise stands for the others.
    pub(super) is_one_enough: bool,
}

impl Dimension {
    fn all(values: Vec<Value>) -> Self {
        Self { values, is_one_enough: false }
    }

    fn one(values: Vec<Value>) -> Self {
        Self { values, is_one_enough: true }
    }
}

/// The dimensions of two rules of one route. `most` is how many bytes any body may have.
pub(super) fn dimensions(both: [&Route; 2], values: &Values, most: u64) -> Vec<Dimension> {
    let mut dimensions = vec![Dimension::all(credentials(both))];
    dimensions.extend(consents(both, values));
    dimensions.push(Dimension::one(versions(both)));
    dimensions.push(Dimension::all(vec![
        Value::silent(|_| ()),
        Value::told("without x-fapi-interaction-id", |probe| probe.interaction_id = None),
        Value::told("with an x-fapi-interaction-id that is no UUID", |probe| {
            probe.interaction_id = Some("a-1");
        }),
        Value::told("with an x-fapi-interaction-id of no known form", |probe| {
            probe.interaction_id = Some("-");
        }),
    ]));
    if both.iter().any(|route| route.asks.interaction.also.is_some()) {
        dimensions.push(Dimension::one(vec![
            Value::silent(|_| ()),
            Value::told("without the id of the attempt", |probe| probe.has_attempt = false),
        ]));
    }
    let [method, _] = both.map(|route| &route.published.method);
    if CONTENT_METHODS.contains(method) {
        dimensions.extend(contents(both, most));
    }
    dimensions.extend(values.of_path());
    dimensions.extend(values.of_query());
    dimensions
}

/// What a request has that brings exactly what a rule asks for.
pub(super) fn credential(access: &Access) -> Credential {
    match access {
        Access::Open => Credential::Nothing,
        Access::Certificate | Access::Event => Credential::Certificate,
        Access::Client { scope } => Credential::Own { scopes: vec![scope.as_str().to_owned()] },
        Access::Consented { scope, permission, .. } => Credential::Customers {
            scopes: vec![scope.as_str().to_owned()],
            permissions: vec![permission.as_str().to_owned()],
        },
    }
}

/// What a request has that brings what both rules ask for, if one can.
fn united(both: [&Access; 2]) -> Option<Credential> {
    let join = |one: Vec<String>, other: Vec<String>| {
        let mut all = one;
        let new: Vec<String> = other.into_iter().filter(|word| !all.contains(word)).collect();
        all.extend(new);
        all
    };
    match both.map(credential) {
        [Credential::Own { scopes }, Credential::Own { scopes: others }] => {
            Some(Credential::Own { scopes: join(scopes, others) })
        }
        [
            Credential::Customers { scopes, permissions },
            Credential::Customers { scopes: other_scopes, permissions: others },
        ] => Some(Credential::Customers {
            scopes: join(scopes, other_scopes),
            permissions: join(permissions, others),
        }),
        _ => None,
    }
}

fn credentials(both: [&Route; 2]) -> Vec<Value> {
    let of =
        |credential: Credential| move |probe: &mut Probe| probe.credential = credential.clone();
    let accesses = both.map(|route| &route.asks.access);
    let mut values: Vec<Value> =
        united(accesses).into_iter().map(|c| Value::silent(of(c))).collect();
    let mut told: Vec<String> = Vec::new();
    for access in accesses {
        let label = describe(access);
        if !told.contains(&label) {
            let value = Value::told(label.as_str(), of(credential(access)));
            values.push(Value { held: Some(access.clone()), ..value });
            told.push(label);
        }
    }
    // In shadow mode these go on.
    let stranger = || vec!["portaria-no-such-scope".to_owned()];
    values.push(Value::silent(of(Credential::Own { scopes: stranger() })));
    let nothing = Credential::Customers { scopes: stranger(), permissions: Vec::new() };
    values.push(Value::silent(of(nothing)));
    values
}

/// What a rule asks of who calls, in words.
pub(super) fn describe(access: &Access) -> String {
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

/// What the consent is, for rules that ask one of the same kind of token. Those of others are told apart by that.
fn consents(both: [&Route; 2], values: &Values) -> Vec<Dimension> {
    let accesses = both.map(|route| &route.asks.access);
    let is_customers = match accesses {
        [Access::Consented { .. }, Access::Consented { .. }] => true,
        [Access::Client { .. }, Access::Client { .. }] => false,
        _ => return Vec::new(),
    };
    let who = if is_customers { "a token" } else { "a path" };
    let kind = |name: &str, other: &str, kinds: &'static [ConsentKind]| {
        let label = format!("with {who} that names {name} and no {other}");
        Value::told(label, move |probe| probe.kinds = kinds)
    };
    let mut dimensions = vec![
        Dimension::all(vec![
            Value::silent(|_| ()),
            kind("a consent", "enrollment", &[ConsentKind::Consent]),
            kind("an enrollment", "consent", &[ConsentKind::Enrollment]),
        ]),
        Dimension::one(values.foreign()),
    ];
    if is_customers {
        let rejected = |probe: &mut Probe| probe.status = "REJECTED";
        let told = Value::told("under a consent that is REJECTED", rejected);
        dimensions.push(Dimension::all(vec![Value::silent(|_| ()), told]));
    }
    let initiates = |access| matches!(access, Access::Consented { to: ConsentUse::Initiate, .. });
    if accesses.into_iter().cloned().any(initiates) {
        let again = "under the same consent again, after an answer of 201";
        let again = Value::told(again, |probe| probe.is_created = true);
        dimensions.push(Dimension::all(vec![Value::silent(|_| ()), again]));
    }
    dimensions
}

fn versions(both: [&Route; 2]) -> Vec<Value> {
    let asking = |label: &str, version: String| {
        Value::told(label, move |probe| probe.x_v = Some(version.clone()))
    };
    let unserved = "asking for a version that is not served";
    let mut values = vec![Value::silent(|_| ()), asking(unserved, "999999999.0.0".to_owned())];
    for route in both {
        let version = route.answers.version.to_str().unwrap_or_default();
        values.push(asking(&format!("asking for version {version}"), version.to_owned()));
    }
    values
}

/// What a body is written in, how long it is, and the key of methods that have one.
fn contents(both: [&Route; 2], most: u64) -> [Dimension; 3] {
    let media = [
        ("with a body of application/json", Media::Json),
        ("with a body of a form", Media::Form),
        ("with a body of a signed event", Media::Jws),
    ];
    let written = media.map(|(label, media)| {
        Value::told(label, move |probe| {
            probe.body = probe.body.map(|(_, length)| (essence(media), length));
        })
    });
    let mut bounds = both.map(|route| route.bounds.max_body.unwrap_or(most));
    bounds.sort_unstable();
    let long =
        bounds.into_iter().flat_map(|bound| [bound, bound.saturating_add(1)]).map(|length| {
            Value::told(format!("with a body of {length} bytes"), move |probe| {
                probe.body = probe.body.map(|(media, _)| (media, length));
            })
        });
    let lengths = std::iter::once(Value::silent(|_| ())).chain(long).collect();
    let keyless = |probe: &mut Probe| probe.has_idempotency_key = false;
    let keys = vec![Value::silent(|_| ()), Value::told("without x-idempotency-key", keyless)];
    [Dimension::all(written.into()), Dimension::one(lengths), Dimension::all(keys)]
}

fn essence(media: Media) -> &'static str {
    media.essences().first().copied().unwrap_or_default()
}

/// The body of a good request, of rules that admit no more bytes than these.
pub(super) fn body(method: &Method, media: Media, most: u64) -> Option<(&'static str, u64)> {
    CONTENT_METHODS.contains(method).then(|| (essence(media), most.min(2)))
}
