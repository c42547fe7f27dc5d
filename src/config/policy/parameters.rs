//! What a policy says of the parameters of a path and of its query.

use super::super::document::{Place, Table};
use crate::parameters::{Admitted, ParameterRules, PathForm, PathRule, QueryRule};
use crate::route::Template;

const NAME: &str = "a name of up to 64 letters, digits, hyphens, dots and underscores";

/// Reads the rules of a route. `other_query` may stand at the top of the file, `of_file`.
pub(super) fn read_parameters(
    table: &Table<'_>,
    template: Option<&Template>,
    of_file: bool,
) -> ParameterRules {
    let mut rules = ParameterRules {
        refuses_others: read_other_query(table).unwrap_or(of_file),
        ..ParameterRules::default()
    };
    let mut seen: Vec<String> = Vec::new();
    for rule in table.tables("path_parameters") {
        let bounds = read_part(&rule);
        if let Some((name, place)) = read_name(&rule, &mut seen) {
            if template.is_some_and(|template| !template.has_parameter(&name)) {
                let text = "is no parameter of the path, accepted: the name of one";
                place.reject(format!("{name:?} {text}"));
            }
            let of = |(longest, form)| PathRule { name: name.as_str().into(), longest, form };
            rules.path.extend(bounds.map(of));
        }
    }
    // One of the path and one of the query may have the same name.
    seen.clear();
    let query = table.tables("query");
    // As many as the bits of the word in which a request's parameters are counted.
    if query.len() > ParameterRules::MOST {
        let most = ParameterRules::MOST;
        table.place("query").reject(format!("has too many entries, accepted: up to {most}"));
    }
    for rule in query {
        let admitted = read_admitted(&rule);
        if let Some((name, _)) = read_name(&rule, &mut seen) {
            rules.query.push(QueryRule { name: name.as_str().into(), admitted });
        }
    }
    rules
}

/// What becomes of names that no rule knows; nothing, if nothing is said.
pub(super) fn read_other_query(table: &Table<'_>) -> Option<bool> {
    let rule = table.choice("other_query", |text| match text {
        "ignored" => Some(false),
        "refused" => Some(true),
        _ => None,
    });
    rule.map(|rule| rule.value)
}

/// A name that stands once.
fn read_name(rule: &Table<'_>, seen: &mut Vec<String>) -> Option<(String, Place)> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let fits = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(plain);
    let name = rule.required_parsed("name", NAME, |text| fits(text).then(|| text.to_owned()))?;
    if seen.contains(&name.value) {
        let text = format!("{:?} stands twice, accepted: each name once", name.value);
        name.place.reject(text);
    }
    seen.push(name.value.clone());
    Some((name.value, name.place))
}

fn read_part(rule: &Table<'_>) -> Option<(usize, PathForm)> {
    let longest = rule.count("max_length");
    let form = rule.choice("form", |text| (text == "urn").then_some(PathForm::Urn));
    if !rule.has("max_length") && !rule.has("form") {
        rule.place("").reject("asks for nothing, accepted: max_length or form");
    }
    Some((longest, form.map_or(PathForm::Any, |form| form.value)))
}

fn read_admitted(rule: &Table<'_>) -> Admitted {
    let least = rule.whole("least");
    let most = rule.number("most", least.unwrap_or(0), u64::from(u32::MAX));
    let values = rule.strings("values", "the values that it may have");
    let has_bounds = rule.has("least") || rule.has("most");
    if let Some(values) = &values
        && (has_bounds || values.value.is_empty())
    {
        let text = "with bounds, or empty, accepted: values, or least and most";
        values.place.reject(format!("stands {text}"));
    }
    match values {
        Some(values) => {
            Admitted::OneOf(values.value.into_iter().map(String::into_boxed_str).collect())
        }
        None if has_bounds => Admitted::Number {
            least: least.unwrap_or(0),
            // What the specifications call an int32.
            most: most.unwrap_or(2_147_483_647),
        },
        None => Admitted::Any,
    }
}
