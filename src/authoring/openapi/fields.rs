//! The fields, the body and the errors of an operation.

use super::Stated;
use super::reference::References;
use crate::authoring::yaml::Node;
use crate::config::document::Place;
use crate::interaction::Attempt;

/// A UUID of any version. Some of the official files lack the `$` at its end, one has two.
const UUID: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
/// The pattern of the 1.x specifications.
const ALPHANUMERIC: &str = "^[a-zA-Z0-9][a-zA-Z0-9\\-]{0,99}$";

/// The rule of `x-fapi-interaction-id`, in the words of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authoring) struct SpecifiedInteraction {
    /// `uuid` or `alphanumeric`, or why that cannot be told.
    pub(in crate::authoring) form: Stated<&'static str>,
    /// `refuse` or `mint`.
    pub(in crate::authoring) missing: &'static str,
    /// `refuse` or `mint`.
    pub(in crate::authoring) malformed: &'static str,
    /// The field of an attempt to notify that is required besides.
    pub(in crate::authoring) also: Option<&'static str>,
}

/// One operation, and the path item that it stands in.
pub(super) struct OperationFields<'a> {
    pub(super) references: References<'a>,
    pub(super) item: &'a Node,
    pub(super) operation: &'a Node,
    pub(super) place: Place,
}

impl<'a> OperationFields<'a> {
    /// The header parameter of this name: the operation's, or else the path's.
    fn header(&self, name: &str) -> Option<&'a Node> {
        let of = |node: &'a Node| node.get("parameters").map(Node::items).unwrap_or_default();
        let parameters = of(self.operation).iter().chain(of(self.item));
        let mut resolved = parameters.filter_map(|node| self.references.resolve(node));
        resolved.find(|node| {
            node.text_of("in") == Some("header")
                && node.text_of("name").is_some_and(|found| found.eq_ignore_ascii_case(name))
        })
    }

    /// Whether a header parameter is there and required.
    pub(super) fn is_required(&self, name: &str) -> bool {
        self.header(name).is_some_and(|node| is_true(node.text_of("required")))
    }

    /// Whether callers may ask for a version.
    pub(super) fn negotiates(&self) -> bool {
        self.header("x-v").is_some()
    }

    /// The rule of the interaction id. Where an operation does not know it, every exchange gets one. Whether it must
    /// be there is said by itself, whatever is said of its form.
    pub(super) fn interaction(&self) -> SpecifiedInteraction {
        let also = Attempt::ALL.map(Attempt::name).into_iter().find(|name| self.is_required(name));
        let schema_of = |header: &'a Node| {
            header.get("schema").and_then(|schema| self.references.resolve(schema))
        };
        let Some(header) = self.header("x-fapi-interaction-id") else {
            // The id of the attempt is then the only one that has a form.
            let attempt = also.and_then(|name| self.header(name));
            let form = attempt.map_or(Ok("alphanumeric"), |header| form_of(schema_of(header)));
            return SpecifiedInteraction { form, missing: "mint", malformed: "mint", also };
        };
        let is_required = self.is_required("x-fapi-interaction-id");
        let missing = if is_required { "refuse" } else { "mint" };
        SpecifiedInteraction {
            form: form_of(schema_of(header)),
            missing,
            malformed: "refuse",
            also,
        }
    }

    /// What a body is written in, if it is not JSON.
    pub(super) fn request_body(&self) -> Stated<Option<&'static str>> {
        let Some(body) = self.operation.get("requestBody") else {
            return Ok(None);
        };
        let body = self.references.resolve(body).ok_or("its $ref leads nowhere")?;
        let content = body.get("content").ok_or("the body has no content")?;
        let types: Vec<&str> = content.entries().map(|(key, ..)| essence(key)).collect();
        match types.as_slice() {
            ["application/json"] => Ok(None),
            ["application/x-www-form-urlencoded"] => Ok(Some("form")),
            _ => Err(format!("the body is {}", types.join(" or "))),
        }
    }
}

fn form_of(schema: Option<&Node>) -> Stated<&'static str> {
    let said = |key| schema.and_then(|schema| schema.text_of(key));
    match (said("pattern"), said("format")) {
        (Some(pattern), _) => match pattern.strip_prefix(UUID) {
            Some("" | "$" | "$$") => Ok("uuid"),
            _ if pattern == ALPHANUMERIC => Ok("alphanumeric"),
            _ => Err(format!("the pattern of the interaction id is {pattern:?}")),
        },
        (None, Some("uuid")) => Ok("uuid"),
        (None, _) => Err("the interaction id has no pattern".to_owned()),
    }
}

/// YAML 1.2 section 10.3.2.
fn is_true(text: Option<&str>) -> bool {
    matches!(text, Some("true" | "True" | "TRUE"))
}

/// A media type without its parameters.
fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}
