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
//! are read. So are other ways to write a row: without the colon, in backquotes or plain, with another bullet, a method
//! in small letters. A row that begins like one and names no permission is told. A path that is misspelt there has
//! no permission: that is for a decision to say.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::openapi::Stated;
use crate::consent::Permission;

/// Path and method, where one is named.
type PathAndMethod = (String, Option<String>);

/// The permissions of a specification, by path and method.
#[derive(Debug, Default)]
pub(super) struct PermissionTable {
    rows: BTreeMap<PathAndMethod, BTreeSet<String>>,
    /// Lines that begin like rows and say nothing.
    strange: Vec<String>,
    /// The segment that all paths share.
    shared: Option<String>,
    used: RefCell<BTreeSet<PathAndMethod>>,
}

impl PermissionTable {
    /// Reads the table of a description. `paths` are those of the specification.
    pub(super) fn parse<'a>(prose: &str, paths: impl Iterator<Item = &'a str>) -> Self {
        let mut rows: BTreeMap<PathAndMethod, BTreeSet<String>> = BTreeMap::new();
        let mut strange = Vec::new();
        // What stands above the first heading that is a path is prose.
        let mut path = None;
        for line in prose.lines().map(str::trim) {
            if line.starts_with('#') {
                path = heading(line);
                continue;
            }
            let Some(path) = path else { continue };
            match row(line) {
                Some((method, permissions)) if !permissions.is_empty() => {
                    let row = (path.to_owned(), method);
                    rows.entry(row).or_default().extend(permissions);
                }
                Some(_) => strange.push(line.to_owned()),
                None => {}
            }
        }
        Self { rows, strange, shared: shared(paths), used: RefCell::default() }
    }

    /// The permission of a path's method. `methods` is how many the path has: a row without a method
    /// means the one that there is.
    pub(super) fn find(&self, path: &str, method: &str, methods: usize) -> Stated<Option<String>> {
        let below = self.shared.as_deref().and_then(|shared| path.strip_prefix(shared));
        let below = below.map(|rest| if rest.is_empty() { "/" } else { rest });
        let mut found = BTreeSet::new();
        for path in [Some(path), below].into_iter().flatten() {
            // A row without a method of a path with several might mean any of them.
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

    /// Lines of the table that are no rows, though they begin like one.
    pub(super) fn strange(&self) -> &[String] {
        &self.strange
    }

    /// The rows that no path of the specification asked for, as text.
    pub(super) fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let unused = self.rows.iter().filter(|(row, _)| !used.contains(*row));
        let in_words = |((path, method), permissions): (&PathAndMethod, &BTreeSet<String>)| {
            let names: Vec<&str> = permissions.iter().map(String::as_str).collect();
            let method = method.as_deref().unwrap_or("any");
            format!("{method} {path} {}", names.join(" "))
        };
        unused.map(in_words).collect()
    }
}

/// ``### `/path` ``, of whatever level, in backquotes, bold or plain.
fn heading(line: &str) -> Option<&str> {
    let path = line.trim_matches('#').trim().trim_matches(|c| "`*:".contains(c)).trim();
    let is_path = path.starts_with('/') && !path.contains(char::is_whitespace);
    let trimmed = path.trim_end_matches('/');
    is_path.then_some(if trimmed.is_empty() { "/" } else { trimmed })
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// `- GET: **PERMISSION**` or `- permissions: **PERMISSION**`: the method, if one is named, and the permissions.
/// Nothing, if a line does not begin like a row, or only begins a list of rows.
fn row(line: &str) -> Option<(Option<String>, Vec<String>)> {
    // Two asterisks begin bold text, and no list.
    let listed = line.strip_prefix(['-', '*', '+']).filter(|rest| !rest.starts_with('*'))?;
    let is_mark = |c: char| c.is_whitespace() || "*`:,;|()[]\"'–—".contains(c);
    let mut words = listed.split(is_mark).filter(|word| !word.is_empty());
    let first = words.next()?;
    let method = first.to_ascii_uppercase();
    let is_method = METHODS.contains(&method.as_str());
    let is_any = ["permissions", "permission"].iter().any(|word| first.eq_ignore_ascii_case(word));
    if !is_method && !is_any {
        return None;
    }
    let rest: Vec<&str> = words.filter(|word| *word != "-").collect();
    if is_any && rest.is_empty() {
        return None;
    }
    let named = rest.iter().filter(|word| is_permission(word, listed));
    Some((is_method.then_some(method), named.map(|word| (*word).to_owned()).collect()))
}

/// What is set in bold, or a name as the published ones are: of prose, no word is one.
fn is_permission(word: &str, line: &str) -> bool {
    let is_named = word.contains('_') || line.contains(&format!("**{word}**"));
    is_named && Permission::new(word).is_some()
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
    fn a_row_is_read_however_it_is_written() {
        for row in [
            "- GET: **A_READ**",
            "- GET **A_READ**",
            "- GET - **A_READ**",
            "- GET : **A_READ**   ",
            "* GET: **A_READ**",
            "+ GET: A_READ",
            "- GET: `A_READ`",
            "- **GET**: **A_READ**",
            "- `GET` **A_READ**",
            "- get: **A_READ**",
            "- GET: **A_READ**.",
            "- permissions: **A_READ**",
            "- permission: A_READ",
            "- Permissions **A_READ**",
        ] {
            for heading in
                ["### `/a`", "## `/a/`", "#### /a", "### **/a**", "### `/a`:", "### `/a` ###"]
            {
                let prose = format!("{heading}\n  - permissions:\n    {row}\n");
                let table = PermissionTable::parse(&prose, ["/a"].into_iter());
                assert_eq!(table.find("/a", "GET", 1), Ok(Some("A_READ".to_owned())), "{prose}");
                assert!(table.strange().is_empty() && table.unused().is_empty(), "{prose}");
            }
        }
    }

    #[test]
    fn what_begins_like_a_row_and_names_no_permission_is_told() {
        let rows =
            ["- GET: **a-read**", "- GET", "- permissions: none of them", "- POST: **A READ**"];
        let prose =
            format!("### `/a`\n- permissions:\n{}\nGET is a word.\n- other\n", rows.join("\n"));
        let table = PermissionTable::parse(&prose, ["/a"].into_iter());
        assert_eq!(table.strange(), rows);
        assert_eq!(table.find("/a", "GET", 1), Ok(None));
    }

    #[test]
    fn paths_that_share_nothing_are_read_from_the_root() {
        let table = PermissionTable::parse(PROSE, ["/a", "/b"].into_iter());
        assert_eq!(table.find("/a", "GET", 1), Ok(None));
        let parameter = PermissionTable::parse(PROSE, ["/{x}/a", "/{x}/b"].into_iter());
        assert_eq!(parameter.find("/{x}/a", "GET", 1), Ok(None));
    }
}
