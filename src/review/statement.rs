//! What a policy states of one route, in the words of policy files.

use serde::Serialize;

use crate::config::offline::{CONTENT_METHODS, Entry};
use crate::consent::{ConsentKind, ConsentUse};
use crate::interaction::{Form, InteractionRule, Unusable};
use crate::request::media::Media;
use crate::route::{Access, ErrorForm, Route};

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
    pub interaction_id: InteractionId,
    pub idempotency_key: Option<&'static str>,
    pub request_body: Option<&'static str>,
    pub token_revocation: Option<&'static str>,
    pub upstream: String,
    pub deprecated_from: Option<String>,
    pub retired_from: Option<String>,
    pub error_422: &'static str,
    pub file: String,
    pub line: usize,
}

/// The rule of the interaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the keys of a policy file")]
pub struct InteractionId {
    pub form: &'static str,
    pub missing: &'static str,
    pub malformed: &'static str,
}

impl Statement {
    /// Tells a route. It is taken apart, so that a new fact of a route does not compile until it is told.
    pub fn of(entry: &Entry) -> Self {
        let Route {
            index: _,
            api,
            template: _,
            label,
            method,
            access,
            class,
            interaction,
            idempotency_key,
            media,
            consent_parameter,
            inquiry,
            listener: _,
            version,
            upstream: _,
            lifetime,
            error_422,
            revokes_tokens,
        } = &entry.route;
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
            interaction_id: InteractionId::of(interaction),
            idempotency_key: content.then(|| need_of(*idempotency_key)),
            request_body: content.then(|| body_of(*media)),
            token_revocation: revokes_tokens.then_some("true"),
            upstream: entry.upstream.clone(),
            deprecated_from: lifetime.deprecated_from.map(|day| day.to_string()),
            retired_from: lifetime.retired_from.map(|day| day.to_string()),
            error_422: form_of(*error_422),
            file: entry.place.file().to_owned(),
            line: entry.place.line(),
        }
    }

    /// Everything that is stated beside method, path and place.
    pub fn facts(&self) -> [(&'static str, Option<&str>); 19] {
        let InteractionId { form, missing, malformed } = self.interaction_id;
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
            ("idempotency_key", self.idempotency_key),
            ("request_body", self.request_body),
            ("token_revocation", self.token_revocation),
            ("upstream", Some(&self.upstream)),
            ("deprecated_from", self.deprecated_from.as_deref()),
            ("retired_from", self.retired_from.as_deref()),
            ("error_422", Some(self.error_422)),
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

fn form_of(errors: ErrorForm) -> &'static str {
    match errors {
        ErrorForm::Array => "array",
        ErrorForm::Object => "object",
    }
}

/// Told where it is not the usual one.
fn consent_of(kind: ConsentKind) -> Option<&'static str> {
    match kind {
        ConsentKind::Consent => None,
        ConsentKind::Enrollment => Some("enrollment"),
    }
}

type Told = (&'static str, Option<String>, Option<String>, Option<&'static str>);

fn told(access: &Access) -> Told {
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

impl InteractionId {
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
