//! The table of permissions in the prose of a specification.
//!
//! OpenAPI has no place for permissions, so the official files list them in `info.description`:
//!
//! ```text
//! ### `/{policyId}/claim`
//!   - permissions:
//!     - GET: **DAMAGES_AND_PEOPLE_AUTO_CLAIM_READ**
//! ```
//!
//! Some tables write paths from the root of the server, some from the segment that all paths share; both
//! are read. A path that is misspelt there has no permission: that is for a decision to say.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::openapi::Told;
use crate::consent::Permission;

/// Path and method, where one is named.
type Row = (String, Option<String>);

/// The permissions of a specification, by path and method.
#[derive(Debug, Default)]
pub(super) struct PermissionTable {
    rows: BTreeMap<Row, BTreeSet<String>>,
    /// The segment that all paths share.
    shared: Option<String>,
    used: RefCell<BTreeSet<Row>>,
}

impl PermissionTable {
    /// Reads the table of a description. `paths` are those of the specification.
    pub(super) fn parse<'a>(prose: &str, paths: impl Iterator<Item = &'a str>) -> Self {
        let mut rows: BTreeMap<Row, BTreeSet<String>> = BTreeMap::new();
        let mut path = None;
        for line in prose.lines().map(str::trim) {
            if line.starts_with('#') {
                path = heading(line);
            } else if let (Some(path), Some((method, permission))) = (path, row(line)) {
                let row = (path.to_owned(), method.map(str::to_owned));
                rows.entry(row).or_default().insert(permission.to_owned());
            }
        }
        Self { rows, shared: shared(paths), used: RefCell::default() }
    }

    /// The permission of a path's method. `methods` is how many the path has: a row without a method
    /// means the one that there is.
    pub(super) fn find(&self, path: &str, method: &str, methods: usize) -> Told<Option<String>> {
        let below = self.shared.as_deref().and_then(|shared| path.strip_prefix(shared));
        let below = below.map(|rest| if rest.is_empty() { "/" } else { rest });
        let mut found = BTreeSet::new();
        for path in [Some(path), below].into_iter().flatten() {
            let any = (methods == 1).then_some(None);
            for method in [Some(Some(method.to_owned())), any].into_iter().flatten() {
                let row = (path.to_owned(), method);
                if let Some(permissions) = self.rows.get(&row) {
                    found.extend(permissions.iter().cloned());
                    self.used.borrow_mut().insert(row);
                }
            }
        }
        match found.len() {
            0 | 1 => Ok(found.pop_first()),
            _ => {
                let names: Vec<String> = found.into_iter().collect();
                Err(format!("the specification names {}", names.join(" and ")))
            }
        }
    }

    /// The rows that no path of the specification asked for, as text.
    pub(super) fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let unused = self.rows.iter().filter(|(row, _)| !used.contains(*row));
        let in_words = |((path, method), permissions): (&Row, &BTreeSet<String>)| {
            let names: Vec<&str> = permissions.iter().map(String::as_str).collect();
            let method = method.as_deref().unwrap_or("any");
            format!("{method} {path} {}", names.join(" "))
        };
        unused.map(in_words).collect()
    }
}

/// ``### `/path` ``
fn heading(line: &str) -> Option<&str> {
    let path = line.strip_prefix("###")?.trim().strip_prefix('`')?.strip_suffix('`')?;
    let trimmed = path.strip_prefix('/').map(|_| path.trim_end_matches('/'))?;
    Some(if trimmed.is_empty() { "/" } else { trimmed })
}

/// `- GET: **PERMISSION**` or `- permissions: **PERMISSION**`.
fn row(line: &str) -> Option<(Option<&str>, &str)> {
    let (method, rest) = line.strip_prefix("- ")?.split_once(':')?;
    let permission = rest.trim().strip_prefix("**")?.strip_suffix("**")?;
    Permission::new(permission)?;
    let is_method = method.bytes().all(|b| b.is_ascii_uppercase()) && !method.is_empty();
    match method {
        "permissions" => Some((None, permission)),
        _ if is_method => Some((Some(method), permission)),
        _ => None,
    }
}

/// `/insurance-auto`, if every path begins with that segment.
fn shared<'a>(mut paths: impl Iterator<Item = &'a str>) -> Option<String> {
    let first = |path: &'a str| path.strip_prefix('/').and_then(|rest| rest.split('/').next());
    let shared = paths.next().and_then(first).filter(|segment| !segment.starts_with('{'))?;
    paths.all(|path| first(path) == Some(shared)).then(|| format!("/{shared}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROSE: &str = "\
# Title\n- POST: **NOT_YET**\n### `/`\n  - permissions:\n    - GET: **A_READ**\n\
### `/{policyId}/claim/`\n  - permissions: **A_CLAIM_READ**   \n### `/twice`\n    - GET: **ONE**\n    - GET: **TWO**\n\
### `/misspelt`\n    - GET: **LOST**\n## Other\n    - GET: **NO_ROW**\n### no path\n    - GET: **NO_ROW**\n";

    #[test]
    fn rows_are_found_from_the_root_and_from_the_shared_segment() {
        let table = PermissionTable::parse(PROSE, ["/a", "/a/{policyId}/claim"].into_iter());
        let name = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(table.find("/a", "GET", 1), name("A_READ"));
        assert_eq!(table.find("/a/{policyId}/claim", "GET", 1), name("A_CLAIM_READ"));
        assert_eq!(table.find("/a/{policyId}/claim", "GET", 2), Ok(None));
        assert_eq!(table.find("/a", "POST", 1), Ok(None));
        assert!(table.find("/twice", "GET", 1).unwrap_err().contains("ONE and TWO"));
        assert_eq!(table.unused(), ["GET /misspelt LOST"]);
    }

    #[test]
    fn paths_that_share_nothing_are_read_from_the_root() {
        let table = PermissionTable::parse(PROSE, ["/a", "/b"].into_iter());
        assert_eq!(table.find("/a", "GET", 1), Ok(None));
        let parameter = PermissionTable::parse(PROSE, ["/{x}/a", "/{x}/b"].into_iter());
        assert_eq!(parameter.find("/{x}/a", "GET", 1), Ok(None));
    }
}
