//! YAML as a tree that knows its lines.
//!
//! Takes the text of one document; gives its root [`Node`]. Refuses what a specification has no use for and
//! an attacker has: aliases, which multiply, depth, several documents, keys that stand twice or are no
//! text. Reading costs time and memory in proportion to the text.
//!
//! Standard: YAML 1.2, of which JSON is a part. Everything scalar is text: what it means is the reader's
//! to say.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// Mappings within lists within mappings: the official specifications have some twenty levels.
const DEEPEST: usize = 100;

/// A value and the line on which it begins, counted from 1.
#[derive(Debug)]
pub(super) struct Node {
    line: usize,
    content: NodeContent,
}

#[derive(Debug)]
enum NodeContent {
    Text(Box<str>),
    List(Vec<Node>),
    /// The line is the key's.
    Map(BTreeMap<Box<str>, (usize, Node)>),
}

/// Why a text is no tree.
#[derive(Debug)]
pub(super) struct YamlFault {
    /// Where.
    pub(super) line: usize,
    /// What is wrong, and what is accepted.
    pub(super) text: String,
}

impl Node {
    /// Reads a document.
    pub(super) fn parse(text: &str) -> Result<Self, YamlFault> {
        let mut builder = Builder::default();
        // Events, and no loader: a tree is built of what `take` lets pass, while it is read.
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| YamlFault {
                line: error.marker().line(),
                text: format!("{}, accepted: YAML 1.2", error.info()),
            })?;
            let line = span.start.line();
            builder.take(event, line).map_err(|text| YamlFault { line, text })?;
        }
        let empty =
            || YamlFault { line: 1, text: "is empty, accepted: one YAML document".to_owned() };
        builder.root.ok_or_else(empty)
    }

    /// The line on which it begins.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// The value of a key, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            NodeContent::Map(entries) => entries.get(key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The entries of a mapping, by key: key, its line, value. None of anything else.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, usize, &Self)> {
        let entries = match &self.content {
            NodeContent::Map(entries) => Some(entries),
            _ => None,
        };
        entries.into_iter().flatten().map(|(key, (line, node))| (&**key, *line, node))
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.content {
            NodeContent::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            NodeContent::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a key's value.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }
}

/// What is begun and not yet ended.
enum OpenNode {
    List(Vec<Node>),
    Map(BTreeMap<Box<str>, (usize, Node)>, Option<(usize, Box<str>)>),
}

#[derive(Default)]
struct Builder {
    open: Vec<(usize, OpenNode)>,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::Alias(_) => Err("is an alias, accepted: $ref instead of anchors".to_owned()),
            Event::Scalar(text, ..) => self.scalar(text, line),
            Event::SequenceStart(..) => self.begin(line, OpenNode::List(Vec::new())),
            Event::MappingStart(..) => self.begin(line, OpenNode::Map(BTreeMap::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("is a second document, accepted: one".to_owned())
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn begin(&mut self, line: usize, open: OpenNode) -> Result<(), String> {
        if let Some((_, OpenNode::Map(_, None))) = self.open.last() {
            return Err("is a key that is no text, accepted: keys of text".to_owned());
        }
        if self.open.len() == DEEPEST {
            return Err(format!("is too deep, accepted: {DEEPEST} levels"));
        }
        self.open.push((line, open));
        Ok(())
    }

    fn scalar(&mut self, text: Cow<'_, str>, line: usize) -> Result<(), String> {
        if let Some((_, OpenNode::Map(entries, key @ None))) = self.open.last_mut() {
            if let Some((first, _)) = entries.get(&*text) {
                return Err(format!(
                    "{text:?} stands twice, first on line {first}, accepted: each key once"
                ));
            }
            *key = Some((line, text.into()));
            return Ok(());
        }
        self.add(Node { line, content: NodeContent::Text(text.into()) });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let (line, open) = self.open.pop().ok_or("ends what was not begun, accepted: YAML 1.2")?;
        let content = match open {
            OpenNode::List(items) => NodeContent::List(items),
            OpenNode::Map(entries, _) => NodeContent::Map(entries),
        };
        self.add(Node { line, content });
        Ok(())
    }

    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((_, OpenNode::List(items))) => items.push(node),
            Some((_, OpenNode::Map(entries, key))) => {
                if let Some((line, key)) = key.take() {
                    entries.insert(key, (line, node));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, String) {
        let fault = Node::parse(text).unwrap_err();
        (fault.line, fault.text)
    }

    #[test]
    fn a_tree_knows_its_lines() {
        let root = Node::parse("a:\n  - x\n  - b: |\n      1\n      2\n").unwrap();
        let items = root.get("a").unwrap().items();
        assert_eq!((items[0].text(), items[0].line()), (Some("x"), 2));
        assert_eq!(items[1].text_of("b"), Some("1\n2\n"));
        let lines: Vec<usize> = items[1].entries().map(|(_, line, _)| line).collect();
        assert_eq!(lines, [3]);
        let json = Node::parse("{\"a\": [1, true]}").unwrap();
        assert_eq!(json.get("a").unwrap().items()[1].text(), Some("true"));
    }

    #[test]
    fn what_multiplies_or_deceives_is_refused() {
        for (text, line, wrong) in [
            ("a: &x [1]\nb: *x\n", 2, "is an alias"),
            ("get: 1\nput: 2\nget: 3\n", 3, "\"get\" stands twice, first on line 1"),
            ("a: 1\n---\nb: 2\n", 2, "is a second document"),
            ("? [1]\n: 2\n", 1, "is a key that is no text"),
            ("a: [1\n", 2, ""),
            ("", 1, "is empty"),
        ] {
            let (found_line, found) = fault(text);
            assert!(found.contains(wrong) && found.contains("accepted: "), "{text}: {found}");
            assert_eq!(found_line, line, "{text}: {found}");
        }
    }

    #[test]
    fn hostile_texts_of_full_size_end_in_a_fault() {
        let size = 4 * 1024 * 1024;
        for part in ["[", "{", "- ", "? ", "{a: ", "[[],", "&a ", "!a ", "\"", "- - ", "a: &b\n"] {
            let text = part.repeat(size / part.len());
            assert!(Node::parse(&text).is_err(), "{part}");
        }
        let nested: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(fault(&nested).1.contains("is too deep"));
    }
}
