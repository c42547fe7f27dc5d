//! The security of an operation: which grant and which scope its callers need.

use std::collections::BTreeSet;

use super::Stated;
use super::reference::References;
use crate::authoring::yaml::Node;
use crate::config::document::Place;
use crate::scope::Scope;

/// What the literal scope `consent:consentId` of the official files stands for.
const CONSENT: &str = "consent:";

/// Whose token a route needs, in the words of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authoring) enum TokenOwner {
    /// A participant's own (`client_credentials`).
    Client,
    /// A customer's, under a consent (`authorization_code`).
    Consented,
}

/// One alternative of `security`: everything in it is asked for.
#[derive(Clone, Debug, Default)]
pub(in crate::authoring) struct Requirement {
    flows: Vec<String>,
    scopes: Vec<String>,
    unusable: Option<String>,
}

impl Requirement {
    /// One requirement that asks for all of several.
    pub(in crate::authoring) fn all(alternatives: &[Self]) -> Self {
        let mut all = Self::default();
        for one in alternatives {
            all.flows.extend(one.flows.iter().cloned());
            all.scopes.extend(one.scopes.iter().cloned());
            all.unusable = all.unusable.or_else(|| one.unusable.clone());
        }
        all
    }

    /// Whose token is asked for.
    pub(in crate::authoring) fn grant(&self) -> Stated<TokenOwner> {
        if let Some(unusable) = &self.unusable {
            return Err(unusable.clone());
        }
        let names_consent = self.scopes.iter().any(|scope| scope.starts_with(CONSENT));
        let flows: Vec<&str> = self.flows.iter().map(String::as_str).collect();
        match (flows.as_slice(), names_consent) {
            (["clientCredentials"], false) => Ok(TokenOwner::Client),
            (["authorizationCode"], true) => Ok(TokenOwner::Consented),
            (["clientCredentials"], true) => {
                Err("the flow is clientCredentials, but a scope names a consent".to_owned())
            }
            (["authorizationCode"], false) => {
                Err("the flow is authorizationCode, but no scope names a consent".to_owned())
            }
            ([], _) => Err("an alternative asks for no token".to_owned()),
            _ => Err(format!("the flows are {}", flows.join(" and "))),
        }
    }

    /// The one scope that is the API's own.
    pub(in crate::authoring) fn scope(&self) -> Stated<String> {
        let own = |scope: &&str| *scope != "openid" && !scope.starts_with(CONSENT);
        let own: BTreeSet<&str> = self.scopes.iter().map(String::as_str).filter(own).collect();
        let own: Vec<&str> = own.into_iter().collect();
        match own.as_slice() {
            [scope] => Ok((*scope).to_owned()),
            [] => Err("no scope of the API is asked for".to_owned()),
            several => Err(format!("several scopes are asked for: {}", several.join(", "))),
        }
    }
}

fn schemes<'a>(references: &References<'a>) -> Option<&'a Node> {
    references.root.get("components")?.get("securitySchemes")
}

fn flows(scheme: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let flows = scheme.get("flows").into_iter().flat_map(|flows| flows.entries());
    flows.map(|(name, _, flow)| (name, flow))
}

fn declared(scheme: &Node) -> impl Iterator<Item = &str> {
    let scopes = flows(scheme).filter_map(|(_, flow)| flow.get("scopes"));
    scopes.flat_map(|scopes| scopes.entries().map(|(name, ..)| name))
}

/// The scopes of all schemes, but for the consent's and OpenID's.
pub(super) fn scopes(references: &References<'_>) -> Vec<String> {
    let mut scopes = Vec::new();
    for (_, _, scheme) in schemes(references).iter().flat_map(|schemes| schemes.entries()) {
        if let Some(scheme) = references.resolve(scheme) {
            scopes.extend(declared(scheme).map(str::to_owned));
        }
    }
    scopes.retain(|scope| scope != "openid" && !scope.starts_with(CONSENT));
    scopes.sort();
    scopes.dedup();
    scopes
}

/// The alternatives of an operation's security, or of the file's where it has none of its own.
pub(super) fn requirements(
    references: &References<'_>,
    operation: &Node,
    place: &Place,
) -> Vec<Requirement> {
    let security = operation.get("security").or_else(|| references.root.get("security"));
    let alternatives = security.map(Node::items).unwrap_or_default();
    alternatives.iter().map(|node| requirement(references, node, place)).collect()
}

fn requirement(references: &References<'_>, node: &Node, place: &Place) -> Requirement {
    let mut requirement = Requirement::default();
    for (name, line, scopes) in node.entries() {
        let scheme = schemes(references).and_then(|schemes| schemes.get(name));
        let Some(scheme) = scheme.and_then(|scheme| references.resolve(scheme)) else {
            let known = schemes(references);
            let known = known.iter().flat_map(|schemes| schemes.entries());
            let known: Vec<&str> = known.map(|(name, ..)| name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let text = format!("{name} is an unknown security scheme, accepted: {known}");
            references.place(line, place.key()).reject(text);
            continue;
        };
        match scheme.text_of("type").unwrap_or_default() {
            // It names no flow: how a token is got stands in its metadata, which are not fetched.
            "openIdConnect" => {}
            "oauth2" => requirement.flows.extend(flows(scheme).map(|(flow, _)| flow.to_owned())),
            other => requirement.unusable = Some(format!("a security scheme is of type {other:?}")),
        }
        for scope in scopes.items() {
            add_scope(&mut requirement, references, scheme, scope, place);
        }
    }
    requirement
}

fn add_scope(
    requirement: &mut Requirement,
    references: &References<'_>,
    scheme: &Node,
    scope: &Node,
    place: &Place,
) {
    let name = scope.text().unwrap_or_default();
    let is_oauth2 = scheme.text_of("type") == Some("oauth2");
    // The scope of the consent is of OPIN's making, and openid is OpenID's: no flow need declare them.
    let is_of_all = name == "openid" || name.starts_with(CONSENT);
    if is_oauth2 && !is_of_all && !declared(scheme).any(|known| known == name) {
        let known: Vec<&str> = declared(scheme).collect();
        let text = format!("{name:?} is an unknown scope, accepted: {}", known.join(", "));
        references.place(scope.line(), place.key()).reject(text);
        return;
    }
    // In OPIN's own notation `consent:consentId` is one, too (RFC 6749 section 3.3).
    if Scope::new(name).is_none() {
        let text = format!("{name:?} is no scope, accepted: a text without blanks and quotes");
        references.place(scope.line(), place.key()).reject(text);
        return;
    }
    requirement.scopes.push(name.to_owned());
}
