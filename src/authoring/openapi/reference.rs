//! `$ref`: a JSON pointer (RFC 6901) into the same file.

use crate::authoring::yaml::Node;
use crate::config::document::{Mistakes, Place};

/// References to references: the official specifications have one or two.
const LONGEST: usize = 32;

/// The file in which references are followed.
pub(in crate::authoring) struct References<'a> {
    pub(super) root: &'a Node,
    pub(super) file: &'a str,
    pub(super) mistakes: &'a Mistakes,
}

impl<'a> References<'a> {
    /// The node itself, or what it refers to. What leads nowhere is reported.
    pub(super) fn resolve(&self, node: &'a Node) -> Option<&'a Node> {
        let mut at = node;
        let mut seen: Vec<&str> = Vec::new();
        while let Some(reference) = at.text_of("$ref") {
            let wrong = match reference.strip_prefix('#') {
                None => Some("is another file, accepted: a reference such as #/components/..."),
                Some(_) if seen.contains(&reference) => Some("is a circle, accepted: an end"),
                Some(_) if seen.len() == LONGEST => Some("is too long a chain, accepted: 32 steps"),
                Some(_) => None,
            };
            let target = match wrong {
                None => find(self.root, reference),
                Some(_) => None,
            };
            let Some(target) = target else {
                let wrong = wrong.unwrap_or("leads nowhere, accepted: a part of the file");
                self.place(at.line(), "$ref").reject(format!("{reference}: {wrong}"));
                return None;
            };
            seen.push(reference);
            at = target;
        }
        Some(at)
    }

    /// A place of the file.
    pub(super) fn place(&self, line: usize, key: &str) -> Place {
        Place::at(self.file, line, key, self.mistakes)
    }
}

fn find<'a>(root: &'a Node, reference: &str) -> Option<&'a Node> {
    let pointer = reference.strip_prefix("#/")?;
    pointer.split('/').try_fold(root, |node, part| {
        // In this order (RFC 6901 section 4), or ~01 would become a slash.
        let key = part.replace("~1", "/").replace("~0", "~");
        node.get(&key)
    })
}
