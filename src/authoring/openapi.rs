//! A specification: what an OpenAPI 3.0 file says of its operations.
//!
//! Takes a file; gives its name, version and [`SpecifiedOperation`]s, each with what the file says of it, or why
//! that cannot be told. Refuses what is malformed: an unusable server, a reference that leads nowhere, in
//! a circle or to another file, an unknown security scheme, a path that no policy could have.
//!
//! Leaves to others: what becomes of an operation (`settle`), the tables of permissions in the prose of a
//! specification (`permissions`).

mod errors;
mod fields;
mod parameters;
mod reference;
mod security;

use std::path::Path;

use super::permissions::PermissionTable;
use super::source;
use super::yaml::Node;
use crate::config::document::{Mistakes, Place};
use crate::route::{ErrorForm, Template};
use fields::OperationFields;
pub(super) use fields::SpecifiedInteraction;
use parameters::SpecifiedParameters;
use reference::References;
pub(super) use security::{Requirement, TokenOwner};

/// What a specification says of something; the error is why that cannot be told.
pub(super) type Stated<T> = Result<T, String>;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// The largest official specification has fourteen operations.
const MOST_OPERATIONS: usize = 1000;
/// The official operations have up to ten parameters.
const MOST_PARAMETERS: usize = 200;
const BESIDE_METHODS: [&str; 4] = ["summary", "description", "servers", "parameters"];

/// A file that was read.
pub(super) struct Specification {
    root: Node,
    file: String,
    text: String,
    /// The file's name without its version: what the registry calls a group.
    pub(super) name: String,
    /// `info.title`.
    pub(super) title: String,
    /// `info.version`.
    pub(super) version: String,
    /// The scopes of its security schemes.
    pub(super) scopes: Vec<String>,
    mistakes: Mistakes,
}

/// One method of one path.
pub(super) struct SpecifiedOperation {
    /// Where it stands.
    pub(super) place: Place,
    /// The method, in capitals.
    pub(super) method: String,
    /// The path of the server.
    pub(super) base: String,
    /// The path below the base.
    pub(super) path: String,
    /// `base` and `path`.
    pub(super) template: Template,
    /// What is asked of a caller: one of these.
    pub(super) security: Vec<Requirement>,
    /// The permission that the specification's prose names.
    pub(super) permission: Stated<Option<String>>,
    /// The rule of `x-fapi-interaction-id`.
    pub(super) interaction: SpecifiedInteraction,
    /// Whether `x-idempotency-key` is required.
    pub(super) idempotency_key: bool,
    /// What a body is written in, if it is not JSON.
    pub(super) request_body: Stated<Option<&'static str>>,
    /// What its path and query may be.
    pub(super) parameters: SpecifiedParameters,
    /// Whether `x-v` is declared.
    pub(super) negotiates: bool,
    /// The form of its errors.
    pub(super) errors: Stated<ErrorForm>,
}

impl Specification {
    /// Reads a file, or reports why it is no specification.
    pub(super) fn read(path: &Path, mistakes: &Mistakes) -> Option<Self> {
        let file = path.display().to_string();
        let text = source::read(path, source::LARGEST_SPECIFICATION, mistakes)?;
        let root = Node::parse(&text)
            .map_err(|fault| Place::at(&file, fault.line, "", mistakes).reject(fault.text))
            .ok()?;
        let reject = |node: Option<&Node>, key: &str, what: &str| {
            Place::at(&file, node.map_or(1, Node::line), key, mistakes).reject(what);
        };
        // 3.1 means other things by the same words (JSON Schema 2020-12): null types, $ref beside others.
        if !root.text_of("openapi").is_some_and(|version| version.starts_with("3.0.")) {
            let node = root.get("openapi");
            reject(node, "openapi", "is no OpenAPI 3.0, accepted: openapi: 3.0.x");
            return None;
        }
        let info = root.get("info");
        let version = info.and_then(|info| info.get("version"));
        let written = version.and_then(Node::text).unwrap_or_default();
        let Some(full) = full_version(written) else {
            let what = match version {
                None => "is missing".to_owned(),
                Some(_) => format!("{written:?} is no full version"),
            };
            let accepted = "accepted: a version such as 2.0.0, or v2.0.0, or 2.0 for 2.0.0";
            reject(version.or(info), "info.version", &format!("{what}, {accepted}"));
            return None;
        };
        if full.split('.').count() != written.split('.').count() {
            let line = version.map_or(1, Node::line);
            let place = Place::at(&file, line, "info.version", mistakes);
            place.warn(format!("{written:?} is taken for {full}"));
        }
        let title = info.and_then(|info| info.text_of("title")).unwrap_or_default().to_owned();
        let (name, version) = (name_of(path), full);
        let mut read = Self {
            root,
            file,
            name,
            title,
            version,
            scopes: Vec::new(),
            text,
            mistakes: mistakes.clone(),
        };
        read.scopes = security::scopes(&read.references());
        Some(read)
    }

    /// The place of the file.
    pub(super) fn place(&self) -> Place {
        Place::of_file(&self.file, &self.mistakes)
    }

    fn references(&self) -> References<'_> {
        References { root: &self.root, file: &self.file, mistakes: &self.mistakes }
    }

    fn reject(&self, line: usize, key: &str, text: impl Into<String>) {
        Place::at(&self.file, line, key, &self.mistakes).reject(text);
    }

    /// The operations, in the order of their paths.
    pub(super) fn operations(&self) -> Vec<SpecifiedOperation> {
        let base = self.base().map_err(|(line, text)| self.reject(line, "servers", text)).ok();
        let paths = self.root.get("paths");
        if paths.is_none() {
            self.reject(1, "paths", "is missing, accepted: the paths of the API");
        }
        let (Some(base), Some(paths)) = (base, paths) else {
            return Vec::new();
        };
        // Before they are read: each is held against every other one for overlaps.
        if self.count_operations() > MOST_OPERATIONS {
            let text = format!("has too many operations, accepted: up to {MOST_OPERATIONS}");
            self.reject(paths.line(), "paths", text);
            return Vec::new();
        }
        let description = self.root.get("info").and_then(|info| info.get("description"));
        let prose = description.and_then(Node::text).unwrap_or_default();
        let permissions = PermissionTable::parse(prose, paths.entries().map(|(path, ..)| path));
        let mut operations = Vec::new();
        for (path, line, item) in paths.entries().filter(|(path, ..)| !path.starts_with("x-")) {
            let Some(item) = self.references().resolve(item) else {
                continue;
            };
            match Template::parse(&format!("{base}{path}")) {
                Ok(template) => {
                    self.read_path(&base, path, &template, item, &permissions, &mut operations);
                }
                Err(error) => {
                    self.reject(
                        line,
                        path,
                        format!("{error}, accepted: a path such as \"/a/{{b}}\""),
                    );
                }
            }
        }
        self.look_at_permissions(&permissions, description.map_or(1, Node::line));
        operations
    }

    /// Rows of the table that say nothing of any operation.
    fn look_at_permissions(&self, permissions: &PermissionTable, line: usize) {
        let place = |line| Place::at(&self.file, line, "info.description", &self.mistakes);
        for row in permissions.unused() {
            let what = "a permission for a path that the specification has not";
            place(line).warn(format!("{row}: {what}"));
        }
        let accepted = "accepted: a row such as - GET: **RESOURCES_READ**";
        let mut at = line;
        for row in permissions.strange() {
            // In the text, for prose may be folded.
            let below = self.text.lines().enumerate().skip(at.saturating_sub(1));
            let found = below.map(|(index, text)| (index + 1, text.trim()));
            let found = found.into_iter().find(|(_, text)| text == row).map(|(line, _)| line);
            place(found.unwrap_or(line))
                .warn(format!("{row:?} is no row of permissions, {accepted}"));
            at = found.map_or(at, |found| found + 1);
        }
    }

    fn read_path(
        &self,
        base: &str,
        path: &str,
        template: &Template,
        item: &Node,
        permissions: &PermissionTable,
        operations: &mut Vec<SpecifiedOperation>,
    ) {
        let methods = item.entries().filter(|(key, ..)| METHODS.contains(key)).count();
        for (key, line, node) in item.entries() {
            let parameters = if key == "parameters" { Some(node) } else { node.get("parameters") };
            if parameters.is_some_and(|parameters| parameters.items().len() > MOST_PARAMETERS) {
                let accepted = format!("accepted: up to {MOST_PARAMETERS}");
                self.reject(line, path, format!("has too many parameters, {accepted}"));
                return;
            }
            if key == "servers" {
                self.reject(line, path, "has servers of its own, accepted: those of the file");
            } else if METHODS.contains(&key) {
                let method = key.to_ascii_uppercase();
                let label = format!("{method} {template}");
                let place = Place::at(&self.file, line, label, &self.mistakes);
                let fields =
                    OperationFields { references: self.references(), item, operation: node, place };
                operations.push(SpecifiedOperation {
                    security: security::requirements(&fields.references, node, &fields.place),
                    permission: permissions.find(path, &method, methods),
                    interaction: fields.interaction(),
                    idempotency_key: fields.is_required("x-idempotency-key"),
                    request_body: fields.request_body(),
                    errors: fields.errors(),
                    parameters: fields.parameters(),
                    negotiates: fields.negotiates(),
                    place: fields.place,
                    base: base.to_owned(),
                    path: path.to_owned(),
                    template: template.clone(),
                    method,
                });
            } else if !BESIDE_METHODS.contains(&key) && !key.starts_with("x-") {
                let accepted = format!("accepted: {}", METHODS.join(", "));
                self.reject(line, path, format!("{key} is no method, {accepted}"));
            }
        }
    }

    /// How many operations it has, sound or not.
    pub(super) fn count_operations(&self) -> usize {
        let items = self.root.get("paths").into_iter().flat_map(Node::entries);
        let keys = items.flat_map(|(_, _, item)| item.entries());
        keys.filter(|(key, ..)| METHODS.contains(key)).count()
    }

    /// Reports something about the servers.
    pub(super) fn reject_servers(&self, text: String) {
        let line = self.root.get("servers").map_or(1, Node::line);
        self.reject(line, "servers", text);
    }

    /// The one path of all servers; or the line and what is wrong.
    pub(super) fn base(&self) -> Result<String, (usize, String)> {
        let accepted = "accepted: URLs such as https://api.example/open-insurance/consents/v3";
        let servers = self.root.get("servers").filter(|node| !node.items().is_empty());
        let servers = servers.ok_or_else(|| (1, format!("is missing or empty, {accepted}")))?;
        let mut bases: Vec<String> = Vec::new();
        for server in servers.items() {
            let base = server.text_of("url").and_then(path_of);
            let wrong = || (server.line(), format!("has no usable url, {accepted}"));
            let base = base.ok_or_else(wrong)?;
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        match bases.as_slice() {
            [base] => Ok(base.clone()),
            several => {
                let all = several.join(" and ");
                Err((servers.line(), format!("have the paths {all}, accepted: one")))
            }
        }
    }
}

/// `insurance-auto-v2.0.0.yaml` and `insurance-auto.yaml` are versions of `insurance-auto`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    match stem.rsplit_once("-v") {
        Some((name, version)) if is_full(version) => name.to_owned(),
        _ => stem,
    }
}

/// A version of three numbers, of what is written of it: a `v` before it says nothing, and a version of two numbers is
/// the first of its patches. What stands behind (`-errata2`) would be lost, and a major alone is no version.
pub(super) fn full_version(text: &str) -> Option<String> {
    let numbers = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let full = match numbers.split('.').count() {
        2 => format!("{numbers}.0"),
        _ => numbers.to_owned(),
    };
    is_full(&full).then_some(full)
}

fn is_full(version: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    version.split('.').count() == 3 && version.split('.').all(is_number)
}

/// The path of a server's URL, without a slash at its end.
fn path_of(url: &str) -> Option<String> {
    // A variable of the server (OpenAPI 3.0, Server Object): which path it makes cannot be told.
    if url.contains('{') {
        return None;
    }
    let path = match url.strip_prefix('/') {
        Some(_) => url.to_owned(),
        None => url::Url::parse(url).ok().filter(url::Url::has_host)?.path().to_owned(),
    };
    Some(path.trim_end_matches('/').to_owned())
}
