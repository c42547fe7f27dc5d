//! The rules of an operation's path and query parameters, as a policy writes them.

use super::fields::OperationFields;
use crate::authoring::yaml::Node;

/// The pattern of a consent's id.
const URN: &str = "^urn:[a-zA-Z0-9][a-zA-Z0-9-]{0,31}:[a-zA-Z0-9()+,\\-.:=@;$_!*'%\\/?#]+$";
/// The most characters that a policy may ask for.
const LONGEST: u64 = 4096;

/// What a policy says, and what of the specification it does not.
#[derive(Default)]
pub(in crate::authoring) struct SpecifiedParameters {
    /// The value of `path_parameters`; empty if there is nothing to say.
    pub(in crate::authoring) path: String,
    /// The value of `query`.
    pub(in crate::authoring) query: String,
    /// Parameters that are not checked as the specification says, and why.
    pub(in crate::authoring) unchecked: Vec<String>,
}

impl<'a> OperationFields<'a> {
    /// The rules. The operation's own parameters count before those of its path.
    pub(super) fn parameters(&self) -> SpecifiedParameters {
        let (mut path, mut query) = (Vec::new(), Vec::new());
        let mut read = SpecifiedParameters::default();
        let mut seen: Vec<(&str, &str)> = Vec::new();
        let of = |node: &'a Node| node.get("parameters").map(Node::items).unwrap_or_default();
        for node in of(self.operation).iter().chain(of(self.item)) {
            let Some(node) = self.references.resolve(node) else { continue };
            let (place, name) = (node.text_of("in").unwrap_or_default(), node.text_of("name"));
            let Some(name) = name.filter(|name| is_plain(name)) else { continue };
            if seen.contains(&(place, name)) {
                continue;
            }
            seen.push((place, name));
            let schema = node.get("schema").and_then(|schema| self.references.resolve(schema));
            match (place, schema) {
                ("path", Some(schema)) => path.extend(path_rule(name, schema, &mut read.unchecked)),
                ("query", Some(schema)) => {
                    query.push(query_rule(name, schema, &mut read.unchecked))
                }
                ("query", None) => query.push(format!("{{ name = \"{name}\" }}")),
                _ => {}
            }
        }
        path.sort();
        query.sort();
        read.path = array(&path);
        read.query = array(&query);
        read
    }
}

fn path_rule(name: &str, schema: &Node, unchecked: &mut Vec<String>) -> Option<String> {
    let longest = number(schema, "maxLength").filter(|longest| (1..=LONGEST).contains(longest));
    let form = match schema.text_of("pattern") {
        Some(URN) => ", form = \"urn\"",
        Some(_) => {
            unchecked.push(format!("the pattern of {name} is not known"));
            ""
        }
        None => "",
    };
    let longest = longest.map(|longest| format!(", max_length = {longest}")).unwrap_or_default();
    let is_empty = longest.is_empty() && form.is_empty();
    (!is_empty).then(|| format!("{{ name = \"{name}\"{longest}{form} }}"))
}

fn query_rule(name: &str, schema: &Node, unchecked: &mut Vec<String>) -> String {
    let values: Vec<&str> = schema
        .get("enum")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter_map(Node::text)
        .collect();
    let rule = match schema.text_of("type") {
        Some("integer") => {
            let bound = |key, name| {
                number(schema, key).map(|bound| format!(", {name} = {bound}")).unwrap_or_default()
            };
            bound("minimum", "least") + &bound("maximum", "most")
        }
        _ if values.is_empty() => String::new(),
        _ if values.iter().all(|value| is_plain(value)) => {
            let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
            format!(", values = [{}]", values.join(", "))
        }
        _ => {
            unchecked.push(format!("the values of {name} are unusual"));
            String::new()
        }
    };
    format!("{{ name = \"{name}\"{rule} }}")
}

fn number(schema: &Node, key: &str) -> Option<u64> {
    schema.text_of(key)?.parse().ok().filter(|number| *number <= u64::from(u32::MAX))
}

/// What can stand in a policy as it is.
fn is_plain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn array(items: &[String]) -> String {
    if items.is_empty() { String::new() } else { format!("[{}]", items.join(", ")) }
}
