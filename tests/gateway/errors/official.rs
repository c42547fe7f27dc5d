//! The official specifications, where `PORTARIA_OPENAPI` names their directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// Where an operation stands: its file and the pointer to it.
#[derive(Clone)]
struct Operation {
    file: String,
    pointer: String,
}

/// Which schema a status of an operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Declared {
    /// The operation names the status.
    Status(SchemaIndex),
    /// Its `default` is a schema of errors.
    Default(SchemaIndex),
    /// Neither: some operations have the schema of a success as their default.
    Nothing,
}

/// All operations of all files.
pub(super) struct Official {
    documents: HashMap<String, Value>,
    /// By version, method and whole path.
    operations: HashMap<(String, String, String), Operation>,
    compiler: Compiler,
    pub(super) schemas: Schemas,
    found: HashMap<(String, String), Declared>,
}

impl Official {
    pub(super) fn read(directory: &Path) -> Self {
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V4);
        compiler.enable_format_assertions();
        let mut official = Self {
            documents: HashMap::new(),
            operations: HashMap::new(),
            compiler,
            schemas: Schemas::new(),
            found: HashMap::new(),
        };
        let mut files = Vec::new();
        collect(directory, &mut files);
        files.sort();
        for file in files {
            official.add(&file);
        }
        official
    }

    fn add(&mut self, file: &Path) {
        let text = std::fs::read_to_string(file).unwrap();
        let root = json(&Yaml::load_from_str(&text).unwrap()[0]);
        let url = format!("file://{}", file.display());
        let version = root["info"]["version"].as_str().unwrap().to_owned();
        let server = root["servers"][0]["url"].as_str().unwrap();
        let base = server.find("/open-insurance").map(|at| server[at..].trim_end_matches('/'));
        for (path, item) in root["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let whole = format!("{}{path}", base.unwrap_or_default());
                let pointer = format!("/paths/{}/{method}", path.replace('/', "~1"));
                let key = (version.clone(), method.to_uppercase(), whole);
                self.operations.insert(key, Operation { file: url.clone(), pointer });
            }
        }
        self.compiler.add_resource(&url, root.clone()).unwrap();
        self.documents.insert(url, root);
    }

    /// The schema of a status of a route.
    pub(super) fn schema(&mut self, version: &str, route: (&str, &str), status: &str) -> Declared {
        let key = (version.to_owned(), route.0.to_owned(), route.1.to_owned());
        let operation = self.operations.get(&key).unwrap_or_else(|| panic!("{key:?}")).clone();
        let cached = (format!("{}{}", operation.file, operation.pointer), status.to_owned());
        if let Some(found) = self.found.get(&cached) {
            return *found;
        }
        let found = match self.compile(&operation, status) {
            Some(schema) => Declared::Status(schema),
            None => {
                self.compile(&operation, "default").map_or(Declared::Nothing, Declared::Default)
            }
        };
        self.found.insert(cached, found);
        found
    }

    fn compile(&mut self, operation: &Operation, status: &str) -> Option<SchemaIndex> {
        let root = &self.documents[&operation.file];
        let at = format!("{}/responses/{status}", operation.pointer);
        let (response, at) = resolve(root, root.pointer(&at)?, at);
        let media = response.get("content")?.as_object()?.keys().next()?.replace('/', "~1");
        let at = format!("{at}/content/{media}/schema");
        let (schema, _) = resolve(root, root.pointer(&at)?, at.clone());
        schema.get("properties")?.get("errors")?;
        let encoded = at.replace('{', "%7B").replace('}', "%7D").replace(' ', "%20");
        let location = format!("{}#{encoded}", operation.file);
        Some(self.compiler.compile(&location, &mut self.schemas).unwrap())
    }
}

/// The node, or what it refers to, and its pointer.
fn resolve<'a>(root: &'a Value, node: &'a Value, at: String) -> (&'a Value, String) {
    match node.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let pointer = reference.trim_start_matches('#').to_owned();
            resolve(root, root.pointer(&pointer).unwrap(), pointer)
        }
        None => (node, at),
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}

fn json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::from(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        Yaml::Value(Scalar::FloatingPoint(value)) => Value::from(value.into_inner()),
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(json).collect()),
        Yaml::Mapping(entries) => {
            let text = |key: &Yaml<'_>| match json(key) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Value::Object(entries.iter().map(|(k, v)| (text(k), json(v))).collect::<Map<_, _>>())
        }
        other => panic!("{other:?} in a specification"),
    }
}
