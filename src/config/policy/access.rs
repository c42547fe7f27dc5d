//! What a route asks of a caller: `access` and all that goes with it.

use crate::config::document::Table;
use crate::consent::{ConsentKind, Permission};
use crate::route::{Access, Template};
use crate::scope::Scope;

pub(super) fn read_access(table: &Table<'_>) -> Option<Access> {
    let access = table.required_choice("access", |text| {
        ["open", "certificate", "client", "consented"].into_iter().find(|known| *known == text)
    });
    let access = access?.value;
    let without_effect: &[&'static str] = match access {
        "open" | "certificate" => &["scope", "permission", "consent_use"],
        "client" => &["permission", "consent_use"],
        _ => &[],
    };
    for key in without_effect {
        if table.has(key) {
            table.place(key).reject(format!(
                "has no effect with access = {access:?}, accepted: an access that needs it"
            ));
        }
    }
    let scope = || table.required_parsed("scope", "one scope", Scope::new);
    match access {
        "open" => Some(Access::Open),
        "certificate" => Some(Access::Certificate),
        "client" => Some(Access::Client { scope: scope()?.value }),
        _ => {
            let scope = scope();
            let permission = table.required_parsed(
                "permission",
                "one permission such as RESOURCES_READ",
                Permission::new,
            );
            let to = table.required_word("consent_use");
            let (scope, permission) = (scope?.value, permission?.value);
            Some(Access::Consented { scope, permission, to: to?.value })
        }
    }
}

/// Which consent of the token the route is judged on, or which the path names.
pub(super) fn read_kind(table: &Table<'_>, has_parameter: bool) -> ConsentKind {
    let kind = table.word("consent");
    if let Some(kind) = &kind
        && !has_parameter
        && !table.raw_is("access", "consented")
    {
        kind.place
            .reject("has no effect here, accepted: access = \"consented\", or a consent_parameter");
    }
    kind.map_or(ConsentKind::Consent, |kind| kind.value)
}

/// Left out by mistake, it would skip the check whose consent it is: so it must be said for every path that
/// names one, under whatever name.
pub(super) fn read_consent_parameter(
    table: &Table<'_>,
    template: Option<&Template>,
) -> Option<Option<Box<str>>> {
    let consents: Vec<&str> = template.into_iter().flat_map(Template::consents).collect();
    let accepted = "the name of the path parameter that is the caller's consent, or \"none\"";
    let Some(name) = table.string("consent_parameter", accepted) else {
        if !consents.is_empty() && !table.has("consent_parameter") {
            let named = consents.join("} and {");
            let text = format!("is missing though the path names a consent ({{{named}}})");
            table.place("consent_parameter").reject(format!("{text}, accepted: {accepted}"));
        }
        return Some(None);
    };
    // Where the path names no consent, a parameter may well be called so.
    if name.value == "none" && !consents.is_empty() {
        return Some(None);
    }
    for access in ["open", "certificate"] {
        if table.raw_is("access", access) {
            name.place.reject(format!(
                "has no effect with access = {access:?}, accepted: an access that needs it"
            ));
            return None;
        }
    }
    if template.is_some_and(|template| !template.has_parameter(&name.value)) {
        let text = "is no parameter of the path, accepted: the name of one";
        name.place.reject(format!("{:?} {text}", name.value));
        return None;
    }
    // A template may have two: the grant is held against one, and the other would be anybody's.
    if let Some(other) = consents.iter().find(|other| **other != name.value) {
        name.place.reject(format!(
            "leaves {{{other}}} to nobody's check: one consent of a path is judged, accepted: a path that \
             names one, or \"none\" where the backend checks them"
        ));
        return None;
    }
    Some(Some(name.value.into()))
}
