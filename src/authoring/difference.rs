//! What two policy files differ in: routes and what they ask, not lines and comments.
//!
//! Takes the texts; a file that is read here may have been written by hand, and may have keys that the
//! import does not know: they count.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

/// Keys that a file says for its routes.
const FOR_ROUTES: [&str; 9] = [
    "version",
    "x_v",
    "class",
    "interaction_id",
    "upstream",
    "available_from",
    "deprecated_from",
    "retired_from",
    "shadow_until",
];

type RouteKeys = BTreeMap<String, String>;

/// What a policy file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// What is about the file itself.
    head: RouteKeys,
    /// By path and method, with what the top of the file says for them.
    routes: BTreeMap<(String, String), RouteKeys>,
    /// What the top says for routes.
    inherited: RouteKeys,
}

impl View {
    /// Reads a file; gives the line and what is wrong if it is none.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let document = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let before = text.as_bytes().get(..offset).unwrap_or_default();
            (1 + before.iter().filter(|b| **b == b'\n').count(), error.message().to_owned())
        })?;
        let mut view = Self::default();
        let mut routes: Vec<&DeTable<'_>> = Vec::new();
        for (name, value) in document.get_ref() {
            let (name, value) = (name.get_ref().to_string(), value.get_ref());
            match value.as_array() {
                Some(tables) if name == "routes" => {
                    routes.extend(tables.iter().filter_map(|table| table.get_ref().as_table()));
                }
                _ if FOR_ROUTES.contains(&name.as_str()) => {
                    view.inherited.insert(name, shown(value));
                }
                _ => {
                    view.head.insert(name, shown(value));
                }
            }
        }
        for table in routes {
            let mut keys = view.inherited.clone();
            keys.extend(
                table
                    .iter()
                    .map(|(name, value)| (name.get_ref().to_string(), shown(value.get_ref()))),
            );
            let mut plain =
                |name: &str| keys.remove(name).unwrap_or_default().trim_matches('"').to_owned();
            let (method, path) = (plain("method"), plain("path"));
            view.routes.insert((path, method), keys);
        }
        Ok(view)
    }

    /// The upstream of a route; of the file, for a route that it has not.
    pub(super) fn upstream(&self, method: &str, path: &str) -> Option<&str> {
        let route = self.routes.get(&(path.to_owned(), method.to_owned()));
        let upstream = route.unwrap_or(&self.inherited).get("upstream")?;
        Some(upstream.trim_matches('"'))
    }

    /// What changes from `self` to `new`.
    pub(super) fn changes(&self, new: &Self) -> Vec<String> {
        let mut changes: Vec<String> = compare(&self.head, &new.head)
            .into_iter()
            .map(|change| format!("~ {change}"))
            .collect();
        let common: Vec<_> =
            new.routes.keys().filter(|key| self.routes.contains_key(*key)).collect();
        let of_route = |key: &&(String, String)| -> BTreeSet<String> {
            match (self.routes.get(*key), new.routes.get(*key)) {
                (Some(old), Some(new)) => compare(old, new).into_iter().collect(),
                _ => BTreeSet::new(),
            }
        };
        let mut differences = common.iter().map(of_route);
        let first = differences.next().unwrap_or_default();
        let everywhere = differences.fold(first, |all, one| &all & &one);
        // Of a single route, "every route" would say less than its name.
        let everywhere = if common.len() > 1 { everywhere } else { BTreeSet::new() };
        changes.extend(everywhere.iter().map(|change| format!("~ every route: {change}")));
        let routes: BTreeSet<_> = self.routes.keys().chain(new.routes.keys()).collect();
        for key in routes {
            let (path, method) = key;
            let named = format!("{method} {path}");
            match (self.routes.get(key), new.routes.get(key)) {
                (None, Some(keys)) => changes.push(format!("+ {named}: {}", summary(keys))),
                (Some(keys), None) => changes.push(format!("- {named}: {}", summary(keys))),
                _ => {
                    let own: Vec<String> =
                        of_route(&key).difference(&everywhere).cloned().collect();
                    if !own.is_empty() {
                        changes.push(format!("~ {named}: {}", own.join("; ")));
                    }
                }
            }
        }
        changes
    }
}

/// `permission "A" -> "B"`, for each key that differs.
fn compare(old: &RouteKeys, new: &RouteKeys) -> Vec<String> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let shown = |value: Option<&String>| value.map_or("nothing", String::as_str).to_owned();
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differing
        .map(|name| format!("{name} {} -> {}", shown(old.get(name)), shown(new.get(name))))
        .collect()
}

/// What a route asks of its callers, in short.
fn summary(keys: &RouteKeys) -> String {
    let asked = ["access", "scope", "permission"].iter().filter_map(|name| keys.get(*name));
    asked.map(|value| value.trim_matches('"')).collect::<Vec<_>>().join(", ")
}

/// A value as it would be written.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(name, value)| (name.get_ref().to_string(), value));
            let pairs: BTreeMap<String, _> = pairs.collect();
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{name} = {}", shown(value.get_ref())))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "api = \"a\"\nversion = \"1.0.0\"\nclass = \"medium\"\nupstream = \"x\"\n\
        [[routes]]\nmethod = \"GET\"\npath = \"/one\"\naccess = \"open\"\n\
        [[routes]]\nmethod = \"GET\"\npath = \"/two\"\naccess = \"consented\"\npermission = \"A\"\n";

    fn changes(old: &str, new: &str) -> Vec<String> {
        View::parse(old).unwrap().changes(&View::parse(new).unwrap())
    }

    #[test]
    fn comments_order_and_where_a_key_stands_are_no_change() {
        let same = "# other\nupstream = \"x\"\nversion = \"1.0.0\"\napi = \"a\"\n\
            [[routes]]\nclass = \"medium\"\npath = \"/two\"\nmethod = \"GET\"\npermission = \"A\"\naccess = \"consented\"\n\
            [[routes]]\nclass = \"medium\"\nmethod = \"GET\"\npath = \"/one\"\naccess = \"open\"\n";
        assert_eq!(changes(OLD, same), Vec::<String>::new());
    }

    #[test]
    fn changes_are_told_by_route_and_key() {
        let new = OLD.replace("permission = \"A\"", "permission = \"B\"\nother = 1");
        let told = ["~ GET /two: other nothing -> 1; permission \"A\" -> \"B\""];
        assert_eq!(changes(OLD, &new), told);
        let told = ["~ every route: version \"1.0.0\" -> \"1.1.0\""];
        assert_eq!(changes(OLD, &OLD.replace("1.0.0", "1.1.0")), told);
        let told = ["~ api \"a\" -> \"b\"", "- GET /one: open", "+ GET /three: open"];
        let new = OLD.replace("\"/one\"", "\"/three\"").replace("api = \"a\"", "api = \"b\"");
        assert_eq!(changes(OLD, &new), told);
        let new = OLD.replace("access = \"open\"", "access = \"open\"\nclass = \"high\"");
        assert_eq!(changes(OLD, &new), ["~ GET /one: class \"medium\" -> \"high\""]);
    }

    #[test]
    fn the_upstream_of_a_route_is_known() {
        let view = View::parse(&OLD.replace("access = \"open\"", "upstream = \"y\"")).unwrap();
        assert_eq!(view.upstream("GET", "/one"), Some("y"));
        assert_eq!(view.upstream("GET", "/two"), Some("x"));
        assert_eq!(view.upstream("PUT", "/new"), Some("x"));
        assert_eq!(View::parse("a = \n"), Err((1, View::parse("a = \n").unwrap_err().1)));
    }
}
