//! From an operation to a route: each fact from a ruling, or else from the specification.
//!
//! What neither tells is listed, and the route with it is left out: what no policy lists does not exist.
//! Nothing here is a guess.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::openapi::{Requirement, SpecifiedOperation, Stated, TokenOwner};
use super::rulings::{LEFT_OUT, Rulings};
use crate::config::document::Place;
use crate::route::Template;
use crate::route::lifetime::disorder;

/// Keys of a policy and their values, as text.
pub(super) type PolicyKeys = BTreeMap<&'static str, String>;

/// A route and what its policy says.
pub(super) struct PolicyRoute {
    /// Where its operation stands.
    pub(super) place: Place,
    pub(super) method: String,
    /// The base path of its API.
    pub(super) base: String,
    /// The path below the base.
    pub(super) path: String,
    pub(super) template: Template,
    pub(super) keys: PolicyKeys,
    /// The rulings that made it, by their index.
    pub(super) decided: BTreeSet<usize>,
}

/// What becomes of an operation.
pub(super) enum Settled {
    /// A route.
    Route(Box<PolicyRoute>),
    /// A ruling leaves it out.
    LeftOut(usize),
    /// Something cannot be told: each thing, and why.
    Unknown(Vec<String>),
}

/// Which facts of which rulings met an operation, and which of them it needed.
#[derive(Default)]
pub(super) struct RulingUse {
    met: BTreeSet<(usize, &'static str)>,
    needed: BTreeSet<(usize, &'static str)>,
}

impl RulingUse {
    /// Facts that every specification they met says itself.
    pub(super) fn needless(&self) -> impl Iterator<Item = &(usize, &'static str)> {
        self.met.difference(&self.needed)
    }
}

/// Settles an operation.
pub(super) fn settle(
    operation: &SpecifiedOperation,
    version: &str,
    rulings: &Rulings,
    uses: &RefCell<RulingUse>,
) -> Settled {
    let mut settling = Settling {
        operation,
        rulings,
        uses,
        path: operation.template.to_string(),
        keys: PolicyKeys::new(),
        decided: BTreeSet::new(),
        unknown: Vec::new(),
    };
    // First, for what is left out need not be understood.
    if let Some(left_out) = rulings.about(&operation.method, &settling.path, LEFT_OUT) {
        return Settled::LeftOut(left_out.index);
    }
    settling.keys.insert("version", version.to_owned());
    settling.access();
    settling.consent_parameter();
    settling.parameters();
    settling.content();
    settling.class_and_interaction();
    settling.lifetime();
    settling.finish()
}

struct Settling<'a> {
    operation: &'a SpecifiedOperation,
    rulings: &'a Rulings,
    uses: &'a RefCell<RulingUse>,
    path: String,
    keys: PolicyKeys,
    decided: BTreeSet<usize>,
    unknown: Vec<String>,
}

impl Settling<'_> {
    /// A fact that the route must have. What a specification says plainly, only a ruling about the very
    /// route contradicts: one about everything below a path was made without knowing it.
    fn fact(&mut self, name: &'static str, told: Stated<String>) -> Option<String> {
        let decided = self.rulings.about(&self.operation.method, &self.path, name);
        let why = match (decided, told) {
            (None, Ok(said)) => return Some(said),
            (None, Err(why)) => why,
            (Some(decided), Ok(said)) if said != decided.value && !decided.is_exact => {
                let value = decided.value;
                format!(
                    "{value} was decided for what is below a path, the specification says {said}"
                )
            }
            (Some(_), told) => return self.decided(name, told.as_ref().ok()),
        };
        self.unknown.push(format!("{name} cannot be told: {why}"));
        None
    }

    /// A fact as it was decided. `said` is what the specification says.
    fn decided(&mut self, name: &'static str, said: Option<&String>) -> Option<String> {
        let decided = self.rulings.about(&self.operation.method, &self.path, name)?;
        let mut uses = self.uses.borrow_mut();
        uses.met.insert((decided.index, name));
        if said.is_none_or(|said| said != decided.value) {
            uses.needed.insert((decided.index, name));
        }
        self.decided.insert(decided.index);
        Some(decided.value.to_owned())
    }

    fn key(&mut self, name: &'static str, told: Stated<String>) {
        if let Some(value) = self.fact(name, told) {
            self.keys.insert(name, value);
        }
    }

    fn security(&mut self) -> Stated<Requirement> {
        match self.operation.security.as_slice() {
            [] => Err("the specification asks for no token".to_owned()),
            [one] => Ok(one.clone()),
            // All of them, which is stricter than the one that the specification lets a caller choose.
            several if self.decided("security", None).is_some() => Ok(Requirement::all(several)),
            _ => Err("the specification has alternatives".to_owned()),
        }
    }

    fn access(&mut self) {
        let security = self.security();
        let grant = security.as_ref().map_err(Clone::clone).and_then(Requirement::grant);
        let access = self.fact(
            "access",
            grant.map(|grant| match grant {
                TokenOwner::Client => "client".to_owned(),
                TokenOwner::Consented => "consented".to_owned(),
            }),
        );
        let Some(access) = access else {
            return;
        };
        self.only_if_nothing_is_asked(&access);
        if access != "open" {
            self.key("scope", security.and_then(|security| security.scope()));
        }
        match access.as_str() {
            "client" => self.no_permission(),
            "consented" => self.consented(),
            _ => {}
        }
        self.keys.insert("access", access);
    }

    /// A specification that asks for something, however unclearly, does not mean everyone.
    fn only_if_nothing_is_asked(&mut self, access: &str) {
        let decided = self.rulings.about(&self.operation.method, &self.path, "access");
        let is_exact = decided.is_some_and(|decided| decided.is_exact);
        if access == "open" && !self.operation.security.is_empty() && !is_exact {
            let why = "open was decided for what is below a path, the specification has a security";
            self.unknown.push(format!("access cannot be told: {why}"));
        }
    }

    /// A client's own token has no permissions: one that the specification names would go unchecked, so
    /// that is for a ruling to say.
    fn no_permission(&mut self) {
        let told = match &self.operation.permission {
            Ok(None) => return,
            Ok(Some(named)) => {
                format!("{named} is of a consent, and the token is the client's own")
            }
            Err(why) => why.clone(),
        };
        if let Some(named) = self.fact("permission", Err(told)).filter(|named| named != "none") {
            let why = format!("{named} was decided, but no consent is asked for");
            self.unknown.push(format!("permission cannot be told: {why}"));
        }
    }

    fn consented(&mut self) {
        let named = self.operation.permission.clone();
        let named = named.and_then(|named| named.ok_or("the specification names none".to_owned()));
        match self.fact("permission", named) {
            Some(permission) if permission != "none" => {
                self.keys.insert("permission", permission);
            }
            Some(_) => self.unknown.push("permission cannot be none under a consent".to_owned()),
            None => {}
        }
        let told = match self.operation.method.as_str() {
            // GET is safe (RFC 9110 section 9.2.1): it consumes nothing.
            "GET" => Ok("read".to_owned()),
            method => Err(format!("{method} may or may not consume the consent")),
        };
        self.key("consent_use", told);
    }

    fn consent_parameter(&mut self) {
        let template = &self.operation.template;
        let consents: Vec<&str> = template.consents().collect();
        if consents.is_empty() {
            return;
        }
        let named = consents.join("} and {");
        let why =
            format!("the path names a consent ({{{named}}}), the specification does not say whose");
        let decided = self.fact("consent_parameter", Err(why));
        match decided {
            Some(name) if name == "none" || template.has_parameter(&name) => {
                self.keys.insert("consent_parameter", name);
            }
            Some(name) => {
                let why = format!("{name} was decided, which is no parameter of the path");
                self.unknown.push(format!("consent_parameter cannot be told: {why}"));
            }
            None => {}
        }
    }

    fn content(&mut self) {
        match self.operation.method.as_str() {
            "GET" | "DELETE" => {}
            "POST" | "PUT" | "PATCH" => {
                let key = if self.operation.idempotency_key { "required" } else { "ignored" };
                self.key("idempotency_key", Ok(key.to_owned()));
                let body = self.operation.request_body.clone();
                self.key("request_body", body.map(|body| body.unwrap_or("json").to_owned()));
            }
            method => self.unknown.push(format!("{method} is no method that a policy can have")),
        }
        // No reason to leave a route out: nearly all have the common schema.
        match self.operation.errors.clone() {
            Ok(form) => self.key("errors", Ok(form.as_str().to_owned())),
            Err(why) => match self.decided("errors", None) {
                Some(form) => {
                    self.keys.insert("errors", form);
                }
                None => {
                    let taken = "the errors are taken for those of the common schema";
                    self.operation.place.warn(format!("{taken}: {why}"));
                }
            },
        }
    }

    fn parameters(&mut self) {
        let parameters = &self.operation.parameters;
        for (name, rules) in [("path_parameters", &parameters.path), ("query", &parameters.query)] {
            if !rules.is_empty() {
                self.keys.insert(name, rules.clone());
            }
        }
        for unchecked in &parameters.unchecked {
            self.operation.place.warn(format!("not checked: {unchecked}, accepted: a bound"));
        }
    }

    fn class_and_interaction(&mut self) {
        let x_v = if self.operation.negotiates { "negotiated" } else { "ignored" };
        self.key("x_v", Ok(x_v.to_owned()));
        self.key("class", Err("specifications do not say it".to_owned()));
        let rule = self.operation.interaction.clone();
        let form = self.fact("form", rule.form.clone().map(str::to_owned));
        let missing = self.fact("missing", Ok(rule.missing.to_owned()));
        let malformed = self.fact("malformed", Ok(rule.malformed.to_owned()));
        if let (Some(form), Some(missing), Some(malformed)) = (form, missing, malformed) {
            let also = rule.also.map(|name| format!(", also = \"{name}\"")).unwrap_or_default();
            let rule = format!(
                "{{ form = \"{form}\", missing = \"{missing}\", malformed = \"{malformed}\"{also} }}"
            );
            self.keys.insert("interaction_id", rule);
        }
    }

    fn lifetime(&mut self) {
        const DAYS: [&str; 3] = ["available_from", "deprecated_from", "retired_from"];
        for name in DAYS.into_iter().chain(["shadow_until"]) {
            if let Some(day) = self.decided(name, None) {
                self.keys.insert(name, day);
            }
        }
        // Days are written so that their order is that of their texts.
        if let Some((_, text)) = disorder(&DAYS.map(|name| self.keys.get(name))) {
            self.unknown.push(text);
        }
    }

    fn finish(mut self) -> Settled {
        if !self.unknown.is_empty() {
            return Settled::Unknown(self.unknown);
        }
        // What a policy means where it says nothing.
        self.keys.retain(|name, value| {
            !matches!(
                (*name, value.as_str()),
                ("request_body", "json") | ("errors", "common") | ("x_v", "ignored")
            )
        });
        let operation = self.operation;
        Settled::Route(Box::new(PolicyRoute {
            place: operation.place.clone(),
            method: operation.method.clone(),
            base: operation.base.clone(),
            path: operation.path.clone(),
            template: operation.template.clone(),
            keys: self.keys,
            decided: self.decided,
        }))
    }
}
