//! The keys of a policy file.

use super::configuration::NAME;
use super::kind::ANY;
use super::kind::Kind::{self, Flag, Form, Number, Size, Table, Tables, Text, Texts};
use super::{Key, absent, default, optional, required, within, word};
use crate::consent::{ConsentKind, ConsentUse};
use crate::interaction::{Attempt, Form as IdForm, Unusable};
use crate::request::media::Media;
use crate::route::{ErrorForm, PriorityClass};

const VERSION: Kind = Form("[0-9]{1,9}\\.[0-9]{1,9}\\.[0-9]{1,9}");
const PARAMETER: Kind = Form("[A-Za-z0-9._-]{1,64}");
const DAY: Kind = Form("[0-9]{4}-[0-9]{2}-[0-9]{2}");
const BASE_PATH: Kind = Form("(/[A-Za-z0-9._~-]+)+");
const TEMPLATE: Kind = Form("(/([A-Za-z0-9._~-]+|\\{[A-Za-z][A-Za-z0-9_-]*\\}))+");
const SCOPE: Kind = Form("[!#-\\[\\]-~]+");
const PERMISSION: Kind = Form("[A-Za-z0-9_]{1,128}");

/// What a route that does not say it has.
const THE_FILES: &str = "the file's";

/// Every key, a table before what stands in it.
pub(super) fn keys() -> Vec<Key> {
    let of_file = [
        required("api", NAME, "the name in metrics and logs"),
        required("version", VERSION, "the x-v of every answer"),
        required("base_path", BASE_PATH, "what all paths begin with"),
        optional("scopes", Texts, "what the routes may ask for; others are mistakes"),
        required("routes", Tables, "the endpoints"),
    ];
    let parts = [
        within("", of_file),
        within("", of_file_or_route()),
        within("routes[]", of_route()),
        within("routes[]", of_answers_and_bodies()),
        within("routes[]", of_file_or_route().map(of_route_or_file)),
        within("routes[]", of_parameters()),
    ];
    parts.into_iter().flatten().collect()
}

/// What a route leaves to its file: the whole of `interaction_id`, not a part of it.
fn of_route_or_file(key: Key) -> Key {
    let is_inner = key.path.contains('.');
    if is_inner { key } else { Key { absent: super::Absent::Means(THE_FILES), ..key } }
}

fn of_route() -> [Key; 8] {
    let methods = Kind::OneOf(vec!["GET", "POST", "PUT", "PATCH", "DELETE"]);
    let access = Kind::OneOf(vec!["open", "certificate", "client", "consented"]);
    [
        required("method", methods, "the method"),
        required("path", TEMPLATE, "a template below base_path; {name} is one whole segment"),
        required(
            "access",
            access,
            "anyone; a participant by certificate, for itself, for a customer",
        ),
        optional("scope", SCOPE, "the scope that the token must carry"),
        optional("permission", PERMISSION, "the permission that the consent must contain"),
        optional(
            "consent_use",
            Kind::words::<ConsentUse>(),
            "what the route does under the consent",
        ),
        word::<ConsentKind>("consent", "which of the token's"),
        optional(
            "consent_parameter",
            Text,
            "what of the path is the caller's consent, or \"none\"",
        ),
    ]
}

fn of_answers_and_bodies() -> [Key; 6] {
    let idempotency = Kind::OneOf(vec!["required", "ignored"]);
    [
        optional("idempotency_key", idempotency, "must be said for POST, PUT and PATCH"),
        word::<Media>("request_body", "what a body is written in"),
        default(
            "token_revocation",
            Flag,
            "false",
            "whether 200 revokes the form's token (RFC 7009)",
        ),
        absent("version", VERSION, THE_FILES, "the x-v of its answers"),
        word::<ErrorForm>("errors", "the schema of its errors"),
        absent(
            "max_body_size",
            Size(ANY),
            "that of every request",
            "the most that a body may have, if less than elsewhere",
        ),
    ]
}

/// What the path and the query may be.
fn of_parameters() -> [Key; 9] {
    let most = u64::from(u32::MAX);
    let forms = Kind::OneOf(vec!["urn"]);
    [
        optional("path_parameters", Tables, "the bounds of parts of the path"),
        required("path_parameters[].name", PARAMETER, "as in the template"),
        default(
            "path_parameters[].max_length",
            Number(1, 4096),
            "4096",
            "the most characters, decoded",
        ),
        absent("path_parameters[].form", forms, "any", "the pattern of consent ids"),
        optional("query", Tables, "the parameters of the query, and their bounds"),
        required("query[].name", PARAMETER, "decoded"),
        absent("query[].least", Number(0, most), "0, if there is a highest", "the lowest number"),
        absent(
            "query[].most",
            Number(0, most),
            // What the specifications call an int32.
            "2147483647, if there is a lowest",
            "the highest number",
        ),
        optional("query[].values", Texts, "the values, if it is no number"),
    ]
}

/// What may be said once for the file, or for a route.
fn of_file_or_route() -> [Key; 13] {
    let negotiated = Kind::OneOf(vec!["negotiated", "ignored"]);
    let others = Kind::OneOf(vec!["ignored", "refused"]);
    let always = "always";
    [
        optional("class", Kind::words::<PriorityClass>(), "the legal response time"),
        optional("upstream", NAME, "an [[upstreams]] of the configuration"),
        default("x_v", negotiated, "ignored", "whether x-v is heeded"),
        default("other_query", others, "ignored", "names that query does not have"),
        absent("available_from", DAY, always, "the day the version begins to exist"),
        absent("deprecated_from", DAY, "never", "the day the version is deprecated"),
        absent("retired_from", DAY, "never", "the day the version is retired"),
        absent("shadow_until", DAY, always, "the day the rules begin to be enforced"),
        optional("interaction_id", Table, "the rule of x-fapi-interaction-id"),
        required("interaction_id.form", Kind::words::<IdForm>(), "the published pattern"),
        required("interaction_id.missing", Kind::words::<Unusable>(), "what happens without one"),
        required(
            "interaction_id.malformed",
            Kind::words::<Unusable>(),
            "with one that does not match",
        ),
        optional(
            "interaction_id.also",
            Kind::words::<Attempt>(),
            "the id of an attempt that is required too",
        ),
    ]
}
