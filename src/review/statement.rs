//! What a policy states of one route, in the words of policy files.

use serde::Serialize;

use crate::config::offline::{CONTENT_METHODS, Entry};
use crate::consent::{ConsentKind, ConsentUse};
use crate::interaction::{Attempt, Form, InteractionRule, Unusable};
use crate::parameters::{Admitted, ParameterRules, PathForm};
use crate::request::media::Media;
use crate::route::{self, Access, Answers, Asks, ErrorForm, Lifetime, Route, ShadowMode};

/// One route, told. Keys are those of a policy file; what has no meaning for the route is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the keys of a policy file")]
pub struct Statement {
    pub method: String,
    /// Base path and path.
    pub path: String,
    pub api: String,
    pub version: String,
    pub access: &'static str,
    pub scope: Option<String>,
    pub permission: Option<String>,
    pub consent_use: Option<&'static str>,
    pub consent: Option<&'static str>,
    pub consent_parameter: Option<String>,
    pub class: &'static str,
    pub interaction_id: StatedInteractionId,
    pub idempotency_key: Option<&'static str>,
    pub request_body: Option<&'static str>,
    pub token_revocation: Option<&'static str>,
    pub upstream: String,
    #[serde(flatten)]
    pub bounds: StatedBounds,
    #[serde(flatten)]
    pub published: StatedPublication,
    pub file: String,
    pub line: usize,
}

/// What requests may have in path, query and body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the keys of a policy file")]
pub struct StatedBounds {
    pub path_parameters: Option<String>,
    pub query: Option<String>,
    pub other_query: &'static str,
    pub max_body_size: Option<String>,
}

/// What the API publishes of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the keys of a policy file")]
pub struct StatedPublication {
    pub x_v: &'static str,
    pub available_from: Option<String>,
    pub deprecated_from: Option<String>,
    pub retired_from: Option<String>,
    pub shadow_until: Option<String>,
    pub errors: &'static str,
}

/// The rule of the interaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the keys of a policy file")]
pub struct StatedInteractionId {
    pub form: &'static str,
    pub missing: &'static str,
    pub malformed: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<&'static str>,
}

impl Statement {
    /// Tells a route. It is taken apart, so that a new fact of a route does not compile until it is told.
    pub fn of(entry: &Entry) -> Self {
        let Route {
            index: _,
            published: route::Published { api, method, template: _, label, class },
            asks,
            bounds: route::Bounds { max_body, lifetime, shadow, listener: _ },
            answers: Answers { version, errors, revokes_tokens },
            to: _,
        } = &entry.route;
        let Asks {
            access,
            interaction,
            idempotency_key,
            media,
            parameters,
            negotiated,
            consent_parameter,
            inquiry,
        } = asks;
        let (name, scope, permission, consent_use) = told(access);
        let content = CONTENT_METHODS.contains(method);
        Self {
            method: method.to_string(),
            path: label.to_string(),
            api: api.to_string(),
            version: version.to_str().unwrap_or_default().to_owned(),
            access: name,
            scope,
            permission,
            consent_use,
            consent: consent_of(inquiry.kind),
            consent_parameter: consent_parameter.as_deref().map(str::to_owned),
            class: class.as_str(),
            interaction_id: StatedInteractionId::of(interaction),
            idempotency_key: content.then(|| need_of(*idempotency_key)),
            request_body: content.then(|| body_of(*media)),
            token_revocation: revokes_tokens.then_some("true"),
            upstream: entry.upstream.clone(),
            bounds: StatedBounds::of(parameters, *max_body),
            published: StatedPublication::of(negotiated.is_some(), lifetime, *shadow, *errors),
            file: entry.place.file().to_owned(),
            line: entry.place.line(),
        }
    }

    /// Everything that is stated beside method, path and place.
    pub fn facts(&self) -> [(&'static str, Option<&str>); 27] {
        let StatedInteractionId { form, missing, malformed, also } = self.interaction_id;
        [
            ("api", Some(&self.api)),
            ("version", Some(&self.version)),
            ("access", Some(self.access)),
            ("scope", self.scope.as_deref()),
            ("permission", self.permission.as_deref()),
            ("consent_use", self.consent_use),
            ("consent", self.consent),
            ("consent_parameter", self.consent_parameter.as_deref()),
            ("class", Some(self.class)),
            ("interaction_id.form", Some(form)),
            ("interaction_id.missing", Some(missing)),
            ("interaction_id.malformed", Some(malformed)),
            ("interaction_id.also", also),
            ("idempotency_key", self.idempotency_key),
            ("request_body", self.request_body),
            ("token_revocation", self.token_revocation),
            ("upstream", Some(&self.upstream)),
            ("x_v", Some(self.published.x_v)),
            ("path_parameters", self.bounds.path_parameters.as_deref()),
            ("query", self.bounds.query.as_deref()),
            ("other_query", Some(self.bounds.other_query)),
            ("max_body_size", self.bounds.max_body_size.as_deref()),
            ("available_from", self.published.available_from.as_deref()),
            ("deprecated_from", self.published.deprecated_from.as_deref()),
            ("retired_from", self.published.retired_from.as_deref()),
            ("shadow_until", self.published.shadow_until.as_deref()),
            ("errors", Some(self.published.errors)),
        ]
    }

    /// Where it stands.
    pub fn file_and_line(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

fn need_of(is_required: bool) -> &'static str {
    if is_required { "required" } else { "ignored" }
}

fn body_of(media: Media) -> &'static str {
    match media {
        Media::Json => "json",
        Media::Form => "form",
        Media::Jws => "jws",
    }
}

impl StatedBounds {
    fn of(rules: &ParameterRules, max_body: Option<u64>) -> Self {
        Self {
            path_parameters: path_of(rules),
            query: query_of(rules),
            other_query: if rules.refuses_others { "refused" } else { "ignored" },
            max_body_size: max_body.map(|bytes| format!("{bytes}B")),
        }
    }
}

impl StatedPublication {
    fn of(is_negotiated: bool, lifetime: &Lifetime, shadow: ShadowMode, errors: ErrorForm) -> Self {
        let [available, deprecated, retired] =
            lifetime.days().map(|day| day.map(|day| day.to_string()));
        Self {
            x_v: if is_negotiated { "negotiated" } else { "ignored" },
            available_from: available,
            deprecated_from: deprecated,
            retired_from: retired,
            shadow_until: shadow.until().map(|day| day.to_string()),
            errors: errors.as_str(),
        }
    }
}

/// `policyId up to 60, consentId up to 256 as urn`.
fn path_of(rules: &ParameterRules) -> Option<String> {
    let told = rules.path.iter().map(|rule| {
        let form = match rule.form {
            PathForm::Any => "",
            PathForm::Urn => " as urn",
        };
        format!("{} up to {}{form}", rule.name, rule.longest)
    });
    listed(told.collect())
}

/// `line, page 1 to 2147483647, period CURRENT|ALL`.
fn query_of(rules: &ParameterRules) -> Option<String> {
    let told = rules.query.iter().map(|rule| match &rule.admitted {
        Admitted::Any => rule.name.to_string(),
        Admitted::Number { least, most } => format!("{} {least} to {most}", rule.name),
        Admitted::OneOf(values) => format!("{} {}", rule.name, values.join("|")),
    });
    listed(told.collect())
}

fn listed(told: Vec<String>) -> Option<String> {
    if told.is_empty() { None } else { Some(told.join(", ")) }
}

/// Told where it is not the usual one.
fn consent_of(kind: ConsentKind) -> Option<&'static str> {
    match kind {
        ConsentKind::Consent => None,
        ConsentKind::Enrollment => Some("enrollment"),
    }
}

type AccessKeys = (&'static str, Option<String>, Option<String>, Option<&'static str>);

fn told(access: &Access) -> AccessKeys {
    match access {
        Access::Open => ("open", None, None, None),
        Access::Certificate => ("certificate", None, None, None),
        Access::Event => ("event", None, None, None),
        Access::Client { scope } => ("client", Some(scope.as_str().to_owned()), None, None),
        Access::Consented { scope, permission, to } => {
            let to = match to {
                ConsentUse::Read => "read",
                ConsentUse::Initiate => "initiate",
            };
            let (scope, permission) = (scope.as_str().to_owned(), permission.as_str().to_owned());
            ("consented", Some(scope), Some(permission), Some(to))
        }
    }
}

impl StatedInteractionId {
    fn of(rule: &InteractionRule) -> Self {
        let unusable = |what| match what {
            Unusable::Refuse => "refuse",
            Unusable::Mint => "mint",
        };
        Self {
            form: match rule.form {
                Form::Uuid => "uuid",
                Form::Alphanumeric => "alphanumeric",
            },
            missing: unusable(rule.missing),
            malformed: unusable(rule.malformed),
            also: rule.also.map(Attempt::name),
        }
    }
}

/// A template without the names of its parameters: two of one shape match the same paths.
pub fn shape(template: &str) -> String {
    let segment = |segment: &str| match segment.starts_with('{') {
        true => "{}".to_owned(),
        false => segment.to_owned(),
    };
    template.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Whether a template matches every path that another one matches.
pub fn covers(general: &str, special: &str) -> bool {
    let segments = |template: &str| template.split('/').count();
    let fits = |(general, special): (&str, &str)| {
        general.starts_with('{') || (general == special && !special.starts_with('{'))
    };
    segments(general) == segments(special) && general.split('/').zip(special.split('/')).all(fits)
}
